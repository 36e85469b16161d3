"""``pydensecrf.utils``: unary energies from labels and probabilities, features of images and volumes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyseg._check import integer, real

__all__ = [
    "compute_unary",
    "create_pairwise_bilateral",
    "create_pairwise_gaussian",
    "softmax_to_unary",
    "unary_from_labels",
    "unary_from_softmax",
]

Floats = NDArray[np.float32]


def unary_from_labels(labels: ArrayLike, n_labels: int, gt_prob: float, zero_unsure: bool = True) -> Floats:
    """Energies of labels that somebody drew.

    Args:
        labels: integers, any shape.
        n_labels: number of labels; where ``zero_unsure``, 0 is none of them.
        gt_prob: how likely a label is right, within (0, 1).
        zero_unsure: labels are 1 .. n_labels, and 0 is a point that may be anything. False: 0 .. n_labels - 1.

    Returns:
        [n_labels, labels.size]: -log of ``gt_prob``, or of an equal part of what is left of 1; of an unsure point,
        log n_labels for all.

    Raises:
        ValueError: a probability or a label out of range.
        TypeError: labels that are no integers.
    """
    count = integer("unary_from_labels", "n_labels", n_labels, 1)
    sure = real("unary_from_labels", "gt_prob", gt_prob)
    if not 0 < sure < 1:
        raise ValueError(f"unary_from_labels: gt_prob must be within (0, 1), got {gt_prob}")
    flat = np.asarray(labels).ravel()
    if flat.dtype.kind not in "iu":
        raise TypeError(f"unary_from_labels: labels must be integers, got {flat.dtype}")
    first, last = (0, count) if zero_unsure else (0, count - 1)
    if flat.size and not (first <= int(flat.min()) and int(flat.max()) <= last):
        raise ValueError(f"unary_from_labels: labels must be {first} .. {last}, got {flat.min()} .. {flat.max()}")
    other = -np.log((1 - sure) / (count - 1)) if count > 1 else 0.0
    energy = np.full((count, flat.size), other, np.float32)
    points = np.arange(flat.size)
    known = flat > 0 if zero_unsure else np.ones(flat.size, bool)
    energy[flat[known].astype(np.int64) - bool(zero_unsure), points[known]] = -np.log(sure)
    energy[:, ~known] = np.log(count)
    return energy


def compute_unary(labels: ArrayLike, M: int, GT_PROB: float = 0.5) -> Floats:
    """Deprecated: :func:`unary_from_labels`."""
    warnings.warn("compute_unary is deprecated, use unary_from_labels", DeprecationWarning, stacklevel=2)
    return unary_from_labels(labels, M, GT_PROB)


def unary_from_softmax(sm: ArrayLike, scale: float | None = None, clip: float | None = 1e-5) -> Floats:
    """Energies of probabilities: -log.

    Args:
        sm: [n_labels, ...] probabilities.
        scale: how much they are trusted, within (0, 1]: 1 becomes that plus an equal part of what is left, 0 that
            part. None: fully.
        clip: the least probability, whose energy would be infinite at 0. None: no clipping.

    Returns:
        [n_labels, product of the other axes].

    Raises:
        ValueError: a scale out of range, an array without labels.
    """
    probabilities = np.asarray(sm)
    if probabilities.dtype.kind not in "fiu":
        raise TypeError(f"unary_from_softmax: sm must be an array of numbers, got {probabilities.dtype}")
    if probabilities.ndim < 1 or probabilities.shape[0] == 0:
        raise ValueError(f"unary_from_softmax: sm must be [n_labels, ...], got {list(probabilities.shape)}")
    labels = probabilities.shape[0]
    if scale is not None:
        trust = real("unary_from_softmax", "scale", scale)
        if not 0 < trust <= 1:
            raise ValueError(f"unary_from_softmax: scale must be within (0, 1], got {scale}")
        probabilities = trust * probabilities + (1 - trust) / labels
    if clip is not None:
        probabilities = np.clip(probabilities, clip, 1.0)
    with np.errstate(divide="ignore"):  # without clipping, infinity is meant
        energy: Floats = -np.log(probabilities).reshape(labels, -1).astype(np.float32)
    return energy


def softmax_to_unary(sm: ArrayLike, GT_PROB: float = 1) -> Floats:
    """Deprecated: :func:`unary_from_softmax`, without clipping."""
    warnings.warn("softmax_to_unary is deprecated, use unary_from_softmax", DeprecationWarning, stacklevel=2)
    return unary_from_softmax(sm, None if GT_PROB == 1 else GT_PROB, clip=None)


def create_pairwise_gaussian(sdims: Sequence[float], shape: Sequence[int]) -> Floats:
    """Features of where points of a grid are, for ``addPairwiseEnergy``.

    Args:
        sdims: deviation along each axis.
        shape: the grid's.

    Returns:
        [axes, points]: axis 0 first, i.e. y before x, where ``DenseCRF2D`` has x first.
    """
    scales = _scales("create_pairwise_gaussian", "sdims", sdims, len(shape))
    grid = np.indices(tuple(shape), np.float32).reshape(len(shape), -1)
    return grid / scales[:, None]


def create_pairwise_bilateral(
    sdims: Sequence[float], schan: float | Sequence[float], img: ArrayLike, chdim: int = -1
) -> Floats:
    """Features of where points of a grid are and what their values are, for ``addPairwiseEnergy``.

    Args:
        sdims: deviation along each axis of the grid.
        schan: deviation of the values: a number, or one a channel.
        img: the grid with values, of any number of axes.
        chdim: the axis of the channels; -1: there is none, and one channel.

    Returns:
        [axes + channels, points]: axis 0 first, i.e. y before x; then the channels.
    """
    image: NDArray[Any] = np.asarray(img)
    if image.dtype.kind not in "fiub":
        raise TypeError(f"create_pairwise_bilateral: img must be an array of numbers, got {image.dtype}")
    axis = integer("create_pairwise_bilateral", "chdim", chdim, -1, image.ndim - 1)
    channels = (image[np.newaxis] if axis == -1 else np.moveaxis(image, axis, 0)).astype(np.float32)
    scales = _scales("create_pairwise_bilateral", "schan", schan, len(channels))
    values = channels.reshape(len(channels), -1) / scales[:, None]
    return np.concatenate([create_pairwise_gaussian(sdims, channels.shape[1:]), values])


def _scales(op: str, name: str, value: float | Sequence[float], count: int) -> Floats:
    numbers = np.full(count, value) if np.ndim(value) == 0 else np.asarray(value)
    if numbers.dtype.kind not in "fiu":
        raise TypeError(f"{op}: {name} must be numbers, got {value!r}")
    if numbers.shape != (count,):
        raise ValueError(f"{op}: {name} must be {count} numbers, got {list(numbers.shape)}")
    if not ((numbers > 0) & np.isfinite(numbers)).all():
        raise ValueError(f"{op}: {name} must be > 0 and finite, got {value}")
    return numbers.astype(np.float32)
