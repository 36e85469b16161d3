"""Fully-connected CRF with Gaussian pairwise terms.

Kraehenbuehl & Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials", NIPS 2011.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyseg import _runtime
from pyseg._arrays import Array, is_torch, to_numpy
from pyseg._check import integer
from pyseg.ops._crf_problem import (
    BILATERAL,
    GAUSSIAN,
    KINDS,
    Layout,
    Problem,
    energies_of_labels,
    image_axes,
    image_specs,
    kernels_of,
    labels_layout,
    layout_of,
    prune_level,
    shape_of,
)
from pyseg.ops.crf_kernels import (
    Bilateral,
    Features,
    Gaussian,
    effective_compat,
    kernel_normalization,
    spatial_axes,
)

__all__ = ["dense_crf"]

_MOST_ITER = 2**31 - 1


def dense_crf(
    unary: Array,
    image: Array | None = None,
    *,
    n_iter: int = 10,
    gaussian: Gaussian | None = GAUSSIAN,
    bilateral: Bilateral | None = BILATERAL,
    features: Features | Array | Sequence[Features] = (),
    compat: Array | None = None,
    normalization: str | None = "symmetric",
    unary_from: str = "probs",
    storage: str = "float32",
    channel_axis: int | None = None,
    prune: float | None = None,
    n_classes: int | None = None,
    gt_prob: float = 0.7,
) -> Array:
    """Refines class probabilities with an image: mean field of a fully-connected CRF.

    Q starts as softmax(-U); each step is Q <- softmax(-U - sum_k C_k F_k Q), for all pixels at once, F_k the Gaussian
    filter of kernel k by a permutohedral lattice, a pixel's own term included.

    Args:
        unary: what a network or a person says of each pixel, K classes: [H, W, K] for an image, [B, K, H, W] for a
            batch, [B, K, D, H, W] for volumes, [N, K] with ``features`` alone; or labels, see ``unary_from``. Floating
            point.
        image: the same pixels, [H, W, C] or [H, W], [B, C, H, W], [B, C, D, H, W]: uint8, uint16 or floating point.
            Needed by ``bilateral``.
        n_iter: steps.
        gaussian, bilateral: the two kernels of the paper; None leaves one out.
        features: more kernels, over any features: a :class:`Features`, a list of them, or an array [N, d].
        compat: what it costs that a pixel of class a is near one of class b: None is Potts (energy - weight * Q:
            neighbours of the same class help); [K] a weight for each class, [K, K] any matrix (made symmetric), both
            times the kernel's weight and without a minus sign, as pydensecrf has them.
        normalization: of the kernels: "symmetric", "before", "after", or None for raw sums.
        unary_from: "probs" (within 0 .. 1; clipped to 1e-5 and more), "logits", "energy" (-log), or "labels": integers
            [H, W], [B, H, W], [B, D, H, W] or [N], negative where nothing is known.
        storage: "float16" reads the lattices' blurred values in half precision: a quarter less memory for them, within
            a few percent of the time; labels agree in 9,999 of 10,000 pixels.
        channel_axis: the axis of the classes in ``unary`` and of the channels in ``image``; None: the last of an
            image, the second of a batch. 0: [K, H, W] with [C, H, W].
        prune: leave out the classes that provably stay at or below this probability everywhere (they get 0): of a VOC
            image 2 to 5 of 21 are left. With r = max_i Q0_c / max Q0 of a class, its Q is at most e <- r exp(W e),
            begun at r, W the sum of the kernels' weights, each times the largest value of its filter of ones. Potts
            with weights >= 0 only, without gradients; torch tensors are computed by the NumPy side's threads.
        n_classes: K for labels; None: the largest label + 1.
        gt_prob: how sure labels are, within 0 .. 1.

    Returns:
        Q: probabilities of the classes, shaped as ``unary``, of its kind, device and floating-point type.

    Raises:
        ValueError: values out of range (NaN, probabilities outside 0 .. 1, a sigma of 0), shapes that do not fit, an
            empty image, a bilateral kernel without an image, a sigma that is too small for its feature's range.
        TypeError: unsupported dtypes or kinds of argument.

    Computed in float32, for torch by ``torch.ops.pyseg.dense_crf`` with gradients with respect to the unary term,
    compat, weights, sigmas and features. CuPy arrays and CUDA tensors are computed on the CPU and given back on the
    device. Q is the same bits for any number of threads and any instruction set.
    """
    steps = min(integer("dense_crf", "n_iter", n_iter, 0), _MOST_ITER)
    if storage not in ("float32", "float16"):
        raise ValueError(f"dense_crf: storage must be 'float32' or 'float16', got {storage!r}")
    if unary_from not in (*KINDS, "labels"):
        raise ValueError(f"dense_crf: unary_from must be 'probs', 'logits', 'energy' or 'labels', got {unary_from!r}")
    if unary_from == "labels":
        unary, channel_axis = labels_layout(energies_of_labels(unary, n_classes, gt_prob), channel_axis)
        unary_from = "energy"
    layout = layout_of(shape_of("unary", unary), channel_axis)
    kernels = kernels_of(layout, image, gaussian, bilateral, features)
    common = Problem(kernels, compat, normalization, unary_from, steps, storage == "float16", layout)
    if prune is not None:
        common = replace(common, prune=prune_level(prune))
    if is_torch(unary) and prune is None:
        from pyseg.ops._crf_torch import run_torch

        return run_torch(unary, image, common)
    array, back = to_numpy("dense_crf", "unary", unary)
    pixels = None if image is None else to_numpy("dense_crf", "image", image)[0]
    return back(_run_numpy(array, pixels, common))


def _pixels(image: NDArray[Any]) -> NDArray[Any]:
    if image.dtype == np.uint8:
        return image
    if image.dtype.kind not in "fu" or image.dtype.itemsize > 8:
        raise TypeError(f"dense_crf: image must be uint8, uint16 or floating point, got {image.dtype}")
    with np.errstate(over="ignore"):
        return image.astype(np.float32)


def _unary(array: NDArray[Any]) -> NDArray[np.float32]:
    if array.dtype.kind not in "fiu":
        raise TypeError(f"dense_crf: unary must be floating point, got {array.dtype}")
    with np.errstate(over="ignore"):
        return array.astype(np.float32, copy=False)


def _run_numpy(array: NDArray[Any], image: NDArray[Any] | None, problem: Problem) -> NDArray[Any]:
    layout = problem.layout
    dtype = array.dtype if array.dtype.kind == "f" else np.dtype(np.float32)
    unary = _unary(array)
    axes = [-1, -1, -1, -1] if image is None else image_axes(image.shape, layout)
    channels = 0 if image is None else (1 if axes[3] < 0 else image.shape[axes[3] + (layout.batch is not None)])
    if image is not None and channels == 0:
        raise ValueError(f"dense_crf: image must have at least one channel, got {list(image.shape)}")
    specs = image_specs(problem, channels)
    if image is not None and any(isinstance(k, Bilateral) for k in problem.kernels):
        image = _pixels(image)
    elif any(isinstance(k, Gaussian) for k in problem.kernels):  # positions alone: an image of no channels
        image = np.broadcast_to(np.zeros((), np.uint8), layout.size if layout.batch is None else (1, *layout.size))
        axes = [-1] * (3 - layout.dims) + [*range(layout.dims), -1]
        if layout.batch is not None:
            image = np.broadcast_to(image, (layout.shape[0], *layout.size))
    else:
        image = None
    compat = [effective_compat(k, problem.compat, layout.shape[layout.classes]) for k in problem.kernels]
    result = np.empty(layout.shape, np.float32)
    for i in [None] if layout.batch is None else range(layout.shape[0]):
        plan = make_plan(problem, None if image is None else image if i is None else image[i], axes, specs, i)
        infer(plan, problem, compat, unary if i is None else unary[i], result if i is None else result[i])
    return result if dtype == np.float32 else result.astype(dtype)


def make_plan(problem: Problem, image: Any, axes: list[int], specs: list[Any], i: int | None) -> Any:
    """The lattices of one image."""
    layout = problem.layout
    kernels: list[tuple[Any, ...]] = []
    points = int(np.prod(layout.size, dtype=np.int64))
    for kernel, spec in zip(problem.kernels, specs, strict=True):
        how = kernel_normalization(kernel, problem.normalization)
        if isinstance(kernel, Features):
            kernels.append((_features(kernel.features, points, i, layout), how))
        else:
            kernels.append((spec[0], spatial_axes(layout.dims), spec[1], how))
    return _runtime.native().CrfPlan(image, axes, points, kernels)


def _features(features: Any, points: int, i: int | None, layout: Layout) -> NDArray[np.float32]:
    array, _ = to_numpy("dense_crf", "features", features)
    if array.ndim == 3 and i is not None and array.shape[0] == layout.shape[0]:
        array = array[i]
    if array.ndim != 2 or array.shape[0] != points or array.shape[1] == 0:
        raise ValueError(f"dense_crf: features must be [{points}, d] as unary has points, got {list(array.shape)}")
    if array.dtype.kind not in "fiu":
        raise TypeError(f"dense_crf: features must be numbers, got {array.dtype}")
    return np.ascontiguousarray(array, np.float32)


def infer(plan: Any, problem: Problem, compat: list[Any], unary: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Mean field of one image; ``unary`` and ``out`` without the batch's axis."""
    axis = problem.layout.classes - (problem.layout.batch is not None)
    classes = unary.shape[axis]
    flat = np.moveaxis(unary, axis, -1).reshape(-1, classes)
    moved = np.moveaxis(out, axis, -1)
    target = moved.reshape(-1, classes)  # a view, unless classes lie between the spatial axes
    if problem.prune is not None:
        pruned_infer(plan, problem, compat, flat, target)
    else:
        plan.infer(flat, KINDS[problem.unary_from], compat, problem.n_iter, problem.half, target)
    if not np.may_share_memory(target, out):
        moved[...] = target.reshape(moved.shape)


def pruned_infer(
    plan: Any, problem: Problem, compat: list[Any], unary: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    """:func:`infer` of the classes that may exceed ``problem.prune``; the others are 0."""
    if any(c.ndim > 0 or c < 0 for c in compat):
        raise ValueError("dense_crf: prune needs Potts compatibilities (compat=None) with weights >= 0")
    ratio = np.array(_runtime.native().crf_class_ratios(unary, KINDS[problem.unary_from]))
    strength = sum(float(c) * gain for c, gain in zip(compat, plan.gains(), strict=True))
    most = ratio
    for _ in range(problem.n_iter):  # it only grows, and ends
        before, most = most, np.minimum(ratio * np.exp(np.minimum(strength * most, 700.0)), 1.0)
        if np.array_equal(most, before):
            break
    live = np.flatnonzero(most > problem.prune)  # never empty: where a class is the likeliest, its ratio is 1
    result = np.empty((len(unary), len(live)), np.float32)
    kept = np.ascontiguousarray(unary[:, live])
    plan.infer(kept, KINDS[problem.unary_from], compat, problem.n_iter, problem.half, result)
    out[...] = 0
    out[:, live] = result
