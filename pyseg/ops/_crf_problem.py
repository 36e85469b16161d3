"""The dense CRF's arguments, checked: which axes are what, which kernels there are, labels as energies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyseg._arrays import is_torch, to_numpy
from pyseg._check import integer, real
from pyseg.ops.crf_kernels import Bilateral, Features, Gaussian, Kernel, sigmas
from pyseg.ops.permutohedral import MOST_DIMS

__all__ = [
    "BILATERAL",
    "GAUSSIAN",
    "KINDS",
    "LEAST_PROBABILITY",
    "Layout",
    "Problem",
    "energies_of_labels",
    "image_axes",
    "image_specs",
    "kernels_of",
    "labels_layout",
    "layout_of",
    "prune_level",
    "shape_of",
]

LEAST_PROBABILITY = 1e-5  # as the kernel clips
KINDS = {"energy": 0, "logits": 1, "probs": 2}
GAUSSIAN, BILATERAL = Gaussian(), Bilateral()  # the defaults
MOST_CLASSES = 2**16


@dataclass(frozen=True)
class Layout:
    """Which axes of the unary term are what."""

    batch: int | None
    classes: int
    spatial: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def dims(self) -> int:
        return len(self.spatial)

    @property
    def size(self) -> tuple[int, ...]:
        return tuple(self.shape[a] for a in self.spatial)


@dataclass(frozen=True)
class Problem:
    """The checked arguments."""

    kernels: list[Kernel]
    compat: Any
    normalization: str | None
    unary_from: str
    n_iter: int
    half: bool
    layout: Layout
    prune: float | None = None


def prune_level(value: Any) -> float:
    least = real("dense_crf", "prune", value)
    if not 0 <= least < 1:
        raise ValueError(f"dense_crf: prune must be within 0 .. 1, got {value}")
    return least


def shape_of(name: str, x: Any) -> tuple[int, ...]:
    if not hasattr(x, "shape"):
        x, _ = to_numpy("dense_crf", name, x)
    return tuple(x.shape)


def layout_of(shape: tuple[int, ...], channel_axis: int | None) -> Layout:
    ndim = len(shape)
    if ndim not in (2, 3, 4, 5):
        raise ValueError(
            f"dense_crf: unary must be [H, W, K], [B, K, H, W], [B, K, D, H, W] or [N, K], got {list(shape)}"
        )
    if 0 in shape[1 if ndim > 3 else 0 :]:
        raise ValueError(f"dense_crf: unary must not be empty, got {list(shape)}")
    default = -1 if ndim <= 3 else 1
    axis = integer("dense_crf", "channel_axis", default if channel_axis is None else channel_axis, -ndim, ndim - 1)
    axis %= ndim
    batch = 0 if ndim > 3 else None
    if axis == batch:
        raise ValueError(f"dense_crf: channel_axis of a batch must not be its first axis, got {channel_axis}")
    if shape[axis] > MOST_CLASSES:
        raise ValueError(f"dense_crf: unary must have at most {MOST_CLASSES} classes, got {list(shape)}")
    if math.prod(shape[1 if ndim > 3 else 0 :]) >= 2**31:
        raise ValueError(f"dense_crf: unary must have fewer than 2^31 values an image, got {list(shape)}")
    if math.prod(shape) >= 2**34:
        raise ValueError(f"dense_crf: unary must have fewer than 2^34 values, got {list(shape)}")
    return Layout(batch, axis, tuple(a for a in range(ndim) if a not in (axis, batch)), shape)


def kernels_of(layout: Layout, image: Any, gaussian: Any, bilateral: Any, features: Any) -> list[Kernel]:
    result: list[Kernel] = []
    for name, kernel, kind in (("gaussian", gaussian, Gaussian), ("bilateral", bilateral, Bilateral)):
        if kernel is None or (layout.dims == 1 and (kernel is GAUSSIAN or kernel is BILATERAL)):
            continue
        if not isinstance(kernel, kind):
            raise TypeError(f"dense_crf: {name} must be a {kind.__name__} or None, got {kernel!r}")
        if layout.dims == 1:
            raise ValueError(f"dense_crf: {name} needs an image's shape; unary is [N, K], so pass None and features")
        if kind is Bilateral and image is None:
            raise ValueError("dense_crf: a bilateral kernel needs image; pass bilateral=None to do without")
        result.append(kernel)
    if isinstance(features, Features):
        features = [features]
    elif hasattr(features, "shape"):
        features = [Features(features)]
    elif not isinstance(features, (list, tuple)):
        raise TypeError(f"dense_crf: features must be an array [N, d] or Features, got {type(features).__name__}")
    for kernel in features:
        if not isinstance(kernel, Features):
            raise TypeError(f"dense_crf: features must be an array [N, d] or Features, got {type(kernel).__name__}")
        result.append(kernel)
    return result


def image_axes(shape: Sequence[int], layout: Layout) -> list[int]:
    """The image's axes (batch left out) as the libraries take them: depth, height, width, channels; -1 where absent."""
    batched = layout.batch is not None
    rank = len(layout.shape)
    if len(shape) == rank:
        axis = layout.classes
    elif len(shape) == rank - 1:
        axis = -1
    else:
        raise ValueError(f"dense_crf: image must have {rank} dimensions as unary, or no channels, got {list(shape)}")
    spatial = [a for a in range(len(shape)) if a != axis and not (batched and a == 0)]
    if tuple(shape[a] for a in spatial) != layout.size or (batched and shape[0] != layout.shape[0]):
        raise ValueError(
            f"dense_crf: image must have unary's spatial shape {list(layout.size)}"
            f"{' and batch' if batched else ''}, got {list(shape)}"
        )
    shift = 1 if batched else 0
    return [-1] * (3 - layout.dims) + [a - shift for a in spatial] + [axis - shift if axis >= 0 else -1]


def image_specs(
    problem: Problem, channels: int, learned: Sequence[bool] = ()
) -> list[tuple[list[float], list[float]] | None]:
    """(spatial sigmas, colour sigmas) of each kernel; None for those over features, given or ``learned``."""
    dims = problem.layout.dims
    specs: list[tuple[list[float], list[float]] | None] = []
    for i, kernel in enumerate(problem.kernels):
        if isinstance(kernel, Features) or (learned and learned[i]):
            specs.append(None)
            continue
        if isinstance(kernel, Bilateral) and dims + channels > MOST_DIMS:
            raise ValueError(f"dense_crf: image must have at most {MOST_DIMS - dims} channels, got {channels}")
        color = sigmas("srgb", kernel.srgb, channels, "a channel") if isinstance(kernel, Bilateral) else []
        specs.append((sigmas("sxy", kernel.sxy, dims, "an axis"), color))
    return specs


def energies_of_labels(labels: Any, n_classes: int | None, gt_prob: float) -> Any:
    """Energies [..., K]: -log of gt_prob for the label, of an equal share of the rest for the others."""
    array, back = to_numpy("dense_crf", "labels", labels)
    if array.dtype.kind not in "iu":
        raise TypeError(f"dense_crf: labels must be integers, got {array.dtype}")
    if array.size == 0:
        raise ValueError(f"dense_crf: labels must not be empty, got {list(array.shape)}")
    if array.size >= 2**31:
        raise ValueError(f"dense_crf: labels must be fewer than 2^31, got {list(array.shape)}")
    top = int(array.max())
    count = max(top + 1, 1) if n_classes is None else integer("dense_crf", "n_classes", n_classes, 1, MOST_CLASSES)
    if top >= min(count, MOST_CLASSES):
        raise ValueError(f"dense_crf: labels must be below n_classes = {min(count, MOST_CLASSES)}, got {top}")
    sure = real("dense_crf", "gt_prob", gt_prob)
    if not 0 < sure < 1:
        raise ValueError(f"dense_crf: gt_prob must be within 0 .. 1, got {gt_prob}")
    energy = np.full((*array.shape, count), -np.log((1 - sure) / max(count - 1, 1)), np.float32)
    known = array >= 0
    index = np.where(known, array, 0).astype(np.int64)[..., None]
    np.put_along_axis(energy, index, np.float32(-np.log(sure)), axis=-1)
    energy[~known] = np.log(count)
    return back(energy)


def labels_layout(energy: Any, channel_axis: int | None) -> tuple[Any, int]:
    """Classes where the image has its channels, so that one channel_axis fits both."""
    ndim = energy.ndim
    default = -1 if ndim <= 3 else 1
    axis = integer("dense_crf", "channel_axis", default if channel_axis is None else channel_axis, -ndim, ndim - 1)
    moved = energy.movedim(-1, axis) if is_torch(energy) else np.moveaxis(energy, -1, axis)
    return moved, axis
