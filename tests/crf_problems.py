"""Dense-CRF problems, solved by pyseg and by its definition.

A problem's arrays are points first, classes and channels last, whatever the number of axes; its kernels are plain
dictionaries. ``by_reference`` and ``by_pyseg`` know how each wants to be told.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import crf_goldens
import numpy as np
import samples
import torch
from numpy.typing import NDArray

import pyseg
from pyseg.reference.dense_crf import Kernel, bilateral_features, dense_crf, gaussian_features
from pyseg.reference.permutohedral import BruteForce, PermutohedralLattice

NORMALIZATIONS = (None, "symmetric", "before", "after")


@dataclass(frozen=True)
class Problem:
    """Of each kernel: "kind" ("gaussian", "bilateral" or "features"), and the arguments of that class of pyseg."""

    unary: Any  # [*shape, K] energies
    image: Any = None  # [*shape, C]
    kernels: list[dict[str, Any]] = field(default_factory=list)
    n_iter: int = 5

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.unary.shape[:-1])


def features_of(problem: Problem, kernel: dict[str, Any], dtype: Any) -> torch.Tensor:
    """[N, d]"""
    if kernel["kind"] == "features":
        return torch.as_tensor(kernel["features"]).to(dtype)
    if kernel["kind"] == "gaussian":
        return gaussian_features(problem.shape, kernel["sxy"], dtype)
    image = problem.image if isinstance(problem.image, torch.Tensor) else torch.from_numpy(np.array(problem.image))
    return bilateral_features(image, kernel["sxy"], kernel["srgb"], dtype)


def reference_kernels(problem: Problem, dtype: Any = torch.float32, exact: bool = False) -> list[Kernel]:
    make = BruteForce if exact else PermutohedralLattice
    return [
        Kernel(
            make(features_of(problem, kernel, dtype)),
            kernel.get("weight", 1.0),
            kernel.get("compat"),
            kernel.get("normalization", "symmetric"),
        )
        for kernel in problem.kernels
    ]


def flat_unary(problem: Problem, dtype: Any = torch.float32) -> torch.Tensor:
    """[N, K]"""
    unary = problem.unary if isinstance(problem.unary, torch.Tensor) else torch.from_numpy(np.array(problem.unary))
    return unary.to(dtype).reshape(-1, unary.shape[-1])


def by_reference(problem: Problem, dtype: Any = torch.float32, exact: bool = False) -> torch.Tensor:
    """Q [*shape, K]."""
    q = dense_crf(flat_unary(problem, dtype), reference_kernels(problem, dtype, exact), problem.n_iter)
    return q.reshape(problem.unary.shape)


def arguments(problem: Problem) -> dict[str, Any]:
    """Keyword arguments of pyseg.dense_crf for a problem's kernels; a second one of a kind goes by its features."""
    given: dict[str, Any] = {"gaussian": None, "bilateral": None}
    features = []
    for kernel in problem.kernels:
        options = {key: value for key, value in kernel.items() if key != "kind"}
        options.setdefault("normalization", "symmetric")
        kind = kernel["kind"]
        if kind != "features" and given[kind] is None:
            given[kind] = (pyseg.Gaussian if kind == "gaussian" else pyseg.Bilateral)(**options)
        else:
            options = {key: options[key] for key in ("weight", "compat", "normalization") if key in options}
            features.append(pyseg.Features(features_of(problem, kernel, torch.float32).numpy(), **options))
    return {**given, "features": features, "normalization": None, "n_iter": problem.n_iter, "unary_from": "energy"}


def by_pyseg(problem: Problem, **more: Any) -> Any:
    """Q [*shape, K], of the kind of array that the unary is of."""
    options = arguments(problem) | more
    ndim = len(problem.shape)
    is_tensor = isinstance(problem.unary, torch.Tensor)
    if ndim == 3:  # a volume is a batch of one
        to_batch = (lambda x: x.movedim(-1, 0)[None]) if is_tensor else (lambda x: np.moveaxis(x, -1, 0)[None])
        image = None if problem.image is None else to_batch(problem.image)
        q = pyseg.dense_crf(to_batch(problem.unary), image, **options)[0]
        return q.movedim(0, -1) if is_tensor else np.moveaxis(q, 0, -1)
    if ndim == 2:
        return pyseg.dense_crf(problem.unary, problem.image, **options)
    assert ndim == 1
    return pyseg.dense_crf(problem.unary, **options)


def of_case(case: crf_goldens.Case, n_iter: int) -> Problem:
    """A golden case. Kernels in the order of axes are those of pyseg's volumes; in 1-D and 2-D they are features."""
    kernels = []
    for kernel in case.kernels:
        number = np.ndim(kernel["compat"]) == 0
        none = kernel["normalization"] == "none"
        common = {
            "weight": float(kernel["compat"]) if number else 1.0,
            "compat": None if number else np.array(kernel["compat"], np.float32),
            "normalization": None if none else kernel["normalization"],
        }
        kind = kernel["type"].removesuffix("_nd")
        if kernel["type"].endswith("_nd") and len(case.shape) != 3:
            kernels.append({"kind": "features", "features": case.features(kernel), **common})
            continue
        kernels.append({"kind": kind, "sxy": tuple(kernel.get("sxy", kernel.get("sdims"))), **common})
        if kind == "bilateral":
            kernels[-1]["srgb"] = tuple(kernel.get("srgb", kernel.get("schan")))
    unary = np.moveaxis(case.unary, 0, -1)
    used = case.image is not None and any(kernel["kind"] == "bilateral" for kernel in kernels)
    image = case.image.reshape(*case.shape, -1) if used and case.image is not None else None
    return Problem(unary, image, kernels, n_iter)


def random_problem(
    seed: int,
    shape: tuple[int, ...] = (13, 17),
    classes: int = 4,
    channels: int = 3,
    dtype: str = "uint8",
    kinds: tuple[str, ...] = ("gaussian", "bilateral"),
    n_iter: int = 4,
    **common: Any,
) -> Problem:
    """Of energies 0 to 4, on an image of patches; sigmas, and what ``common`` does not say, at random."""
    rng = np.random.default_rng(seed)
    unary = (4 * rng.random((*shape, classes))).astype(np.float32)
    image = None
    if "bilateral" in kinds:
        image = samples.image("cells" if len(shape) > 1 else "noise", shape, channels, dtype, seed)
    span = 255.0 if dtype == "uint8" else 65535.0 if dtype == "uint16" else 1.0
    kernels = []
    for kind in kinds:
        kernel: dict[str, Any] = {"kind": kind, "weight": float(rng.uniform(0.5, 4))} | common
        if kind == "features":
            kernel["features"] = rng.normal(0, 2, (int(np.prod(shape)), 3)).astype(np.float32)
        else:
            kernel["sxy"] = tuple(float(s) for s in rng.uniform(1, 3 if kind == "gaussian" else 20, len(shape)))
        if kind == "bilateral":
            kernel["srgb"] = tuple(float(s) for s in rng.uniform(0.02, 0.2, channels) * span)
        kernels.append(kernel)
    return Problem(unary, image, kernels, n_iter)


def to_tensors(problem: Problem) -> Problem:
    """The same arrays as tensors, but for compatibilities and features."""
    image = None if problem.image is None else torch.from_numpy(np.array(problem.image))
    return replace(problem, unary=torch.from_numpy(np.array(problem.unary)), image=image)


def margin(q: NDArray[Any]) -> NDArray[Any]:
    """By how much the best label of each point beats the next: [..., K] to [...]. Infinite where there is one label."""
    if q.shape[-1] == 1:
        return np.full(q.shape[:-1], np.inf)
    best = np.sort(q, -1)
    return np.asarray(best[..., -1] - best[..., -2])
