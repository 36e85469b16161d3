"""Quality of superpixels: three measures against human segmentations, two that need none.

Stutz, Hermans and Leibe, "Superpixels: An Evaluation of the State-of-the-Art" (CVIU 2018), compare these measures. They
depend on the number of superpixels: compare methods at the same number.

Label maps are measured as they are: values may be any integers, with holes, and a label in several pieces counts as one
superpixel. Counts are integers, so three of the five are exact up to one division.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyseg._arrays import Array, to_numpy
from pyseg._check import integer

__all__ = [
    "achievable_segmentation_accuracy",
    "boundary_recall",
    "compactness",
    "explained_variation",
    "undersegmentation_error",
]


def undersegmentation_error(labels: Array, truth: Array) -> float:
    """How much superpixels spill over the borders of the segments that they meet. Less is better; 0: nowhere.

    Neubert and Protzel, "Superpixel Benchmark and Comparison" (Forum Bildverarbeitung 2012): for each segment G and
    each superpixel S that meets it, the smaller of S inside of G and S outside of it:
    ``1 / N * sum_G sum_{S meets G} min(|S & G|, |S - G|)``. Unlike Levinshtein's (2009), it does not charge the whole
    of a superpixel for a sliver.

    Args:
        labels: integers [H, W], the superpixels.
        truth: integers [H, W], the segments; or [A, H, W] of A people, whose mean it is.

    Raises:
        ValueError: another shape, or no pixel. TypeError: not integers.
    """
    superpixels, people = _pair("undersegmentation_error", labels, truth)
    errors = []
    for segments in people:
        size = np.bincount(superpixels)
        owner, common = _overlaps(superpixels, segments)
        errors.append(int(np.minimum(common, size[owner] - common).sum()) / superpixels.size)
    return float(np.mean(errors))


def achievable_segmentation_accuracy(labels: Array, truth: Array) -> float:
    """The share of pixels that are right if every superpixel is given to the segment of which it holds most.

    What a segmentation built of these superpixels can reach at best: ``1 / N * sum_S max_G |S & G|``. More is better.
    Liu, Tuzel, Ramalingam and Chellappa, "Entropy Rate Superpixel Segmentation" (CVPR 2011).

    Args:
        labels: integers [H, W], the superpixels.
        truth: integers [H, W], the segments; or [A, H, W] of A people, whose mean it is.

    Raises:
        ValueError: another shape, or no pixel. TypeError: not integers.
    """
    superpixels, people = _pair("achievable_segmentation_accuracy", labels, truth)
    shares = []
    for segments in people:
        owner, common = _overlaps(superpixels, segments)
        first = np.flatnonzero(np.diff(owner, prepend=-1))
        shares.append(int(np.maximum.reduceat(common, first).sum()) / superpixels.size)
    return float(np.mean(shares))


def boundary_recall(labels: Array, truth: Array, *, radius: int = 2) -> float:
    """The share of the segments' boundary pixels that have one of the superpixels within ``radius``. More is better.

    A pixel is on a boundary where one of its 4 neighbours has another label, so both sides are; within: in the square
    of ``2 * radius + 1`` around it. Martin, Fowlkes and Malik, "Learning to Detect Natural Image Boundaries Using Local
    Brightness, Color, and Texture Cues" (TPAMI 2004); for superpixels, Ren and Malik (ICCV 2003). It says nothing of
    precision: where every pixel is a superpixel it is 1.

    Args:
        labels: integers [H, W], the superpixels.
        truth: integers [H, W], the segments; or [A, H, W] of A people, whose mean it is. Of one without a boundary: 1.
        radius: in pixels. 0.0025 of the diagonal is usual, which is 1.45 of 481 x 321.

    Raises:
        ValueError: another shape, no pixel, or a radius below 0. TypeError: not integers.
    """
    radius = integer("boundary_recall", "radius", radius, 0)
    array, people = _maps("boundary_recall", labels, truth)
    near = _within(_boundary(array), radius)
    recalls = []
    for segments in people:
        wanted = _boundary(segments)
        count = int(wanted.sum())
        recalls.append(int((near & wanted).sum()) / count if count else 1.0)
    return float(np.mean(recalls))


def explained_variation(labels: Array, image: Array) -> float:
    """The share of the colours' variance that remains if every superpixel is painted in its mean colour: 0 to 1.

    ``sum_S |S| (mean_S - mean)^2 / sum_p (color_p - mean)^2``, over all channels. More is better. Moore, Prince,
    Warrell, Mohammed and Jones, "Superpixel Lattices" (CVPR 2008).

    Args:
        labels: integers [H, W], the superpixels.
        image: numbers [H, W] or [H, W, C], in whatever colours are to be explained. Of one colour alone: 1.

    Raises:
        ValueError: another shape, no pixel, or NaN or infinite colours. TypeError: not integers, or not numbers.
    """
    name = "explained_variation"
    array = _labels(name, "labels", labels)
    colors, _ = to_numpy(name, "image", image)
    if colors.ndim not in (2, 3) or colors.shape[:2] != array.shape or (colors.ndim == 3 and colors.shape[2] == 0):
        sides = f"{array.shape[0]}, {array.shape[1]}"
        raise ValueError(f"{name}: image must be [{sides}] or [{sides}, C] as labels, got {list(colors.shape)}")
    if colors.dtype.kind not in "biuf":
        raise TypeError(f"{name}: image must be numbers, got {colors.dtype}")
    flat = colors.reshape(array.size, -1).astype(np.float64)
    if not np.isfinite(flat).all():
        raise ValueError(f"{name}: image must be finite, got NaN or infinity")
    flat /= max(float(np.abs(flat).max()), np.finfo(np.float64).tiny)  # or squares of huge values overflow
    flat -= flat[0]  # so that one colour gives 0, not what its mean was rounded by
    _, owner, size = _dense(array)
    mean = flat.mean(axis=0)
    total = float(((flat - mean) ** 2).sum())
    if total == 0:
        return 1.0
    means = np.stack([np.bincount(owner, channel) for channel in flat.T], axis=1) / size[:, None]
    return min(1.0, float((size[:, None] * (means - mean) ** 2).sum()) / total)


def compactness(labels: Array) -> float:
    """How round superpixels are: the mean over pixels of ``4 pi * area / perimeter^2`` of their superpixel.

    Schick, Fischer and Stiefelhagen, "Measuring and Evaluating the Compactness of Superpixels" (ICPR 2012). The
    perimeter is the number of pixels' edges towards another label or the outside, so a square has pi / 4 = 0.785.

    Args:
        labels: integers [H, W], the superpixels.

    Raises:
        ValueError: another shape, or no pixel. TypeError: not integers.
    """
    array = _labels("compactness", "labels", labels)
    _, owner, size = _dense(array)
    label = np.pad(owner.reshape(array.shape), 1, constant_values=-1)
    inner = label[1:-1, 1:-1]
    perimeter = np.zeros(size.size, np.int64)
    for neighbor in (label[:-2, 1:-1], label[2:, 1:-1], label[1:-1, :-2], label[1:-1, 2:]):
        perimeter += np.bincount(inner[inner != neighbor], minlength=size.size)
    return float((size * (4 * np.pi * size / perimeter.astype(np.float64) ** 2)).sum() / array.size)


def _labels(op: str, name: str, labels: Array) -> NDArray[Any]:
    array, _ = to_numpy(op, name, labels)
    if array.dtype.kind not in "biu":
        raise TypeError(f"{op}: {name} must be integers, got {array.dtype}")
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{op}: {name} must be [H, W] with at least one pixel, got {list(array.shape)}")
    return array


def _maps(op: str, labels: Array, truth: Array) -> tuple[NDArray[Any], NDArray[Any]]:
    """[H, W] and [A, H, W]."""
    array = _labels(op, "labels", labels)
    people, _ = to_numpy(op, "truth", truth)
    if people.dtype.kind not in "biu":
        raise TypeError(f"{op}: truth must be integers, got {people.dtype}")
    if people.ndim not in (2, 3) or people.shape[-2:] != array.shape or people.size == 0:
        sides = f"{array.shape[0]}, {array.shape[1]}"
        raise ValueError(f"{op}: truth must be [{sides}] or [A, {sides}] as labels, got {list(people.shape)}")
    return array, people.reshape(-1, *array.shape)


def _dense(array: NDArray[Any]) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
    """How many labels; the map by their ranks [N]; their sizes."""
    values, owner, size = np.unique(array, return_inverse=True, return_counts=True)
    return values.size, owner.ravel().astype(np.int64, copy=False), size


def _pair(op: str, labels: Array, truth: Array) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    array, people = _maps(op, labels, truth)
    return _dense(array)[1], [_dense(segments)[1] for segments in people]


def _overlaps(superpixels: NDArray[np.int64], segments: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """For every superpixel and segment that meet: the superpixel, ascending, and how many pixels they share."""
    width = int(segments.max()) + 1
    joint = superpixels * width + segments  # below N * N, so within 64 bits
    if int(joint.max()) < 4 * joint.size:
        table = np.bincount(joint)
        met = np.flatnonzero(table)
        return met // width, table[met]
    met, common = np.unique(joint, return_counts=True)  # the table would be mostly holes
    return met // width, common


def _boundary(array: NDArray[Any]) -> NDArray[np.bool_]:
    on = np.zeros(array.shape, bool)
    below, beside = array[1:] != array[:-1], array[:, 1:] != array[:, :-1]
    on[1:] |= below
    on[:-1] |= below
    on[:, 1:] |= beside
    on[:, :-1] |= beside
    return on


def _within(on: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """True where ``on`` is within the square window: by prefix sums, so that a large radius costs no more."""
    for axis in (0, 1):
        size = on.shape[axis]
        reach = min(radius, size)
        total = np.insert(np.cumsum(on, axis=axis, dtype=np.int64), 0, 0, axis=axis)
        at = np.arange(size)
        on = total.take(np.minimum(at + reach + 1, size), axis) > total.take(np.maximum(at - reach, 0), axis)
    return on
