"""The definition of ``pyseg.felzenszwalb`` in plain NumPy: slow, and equal bit for bit.

Felzenszwalb and Huttenlocher, "Efficient Graph-Based Image Segmentation", IJCV 2004, with scikit-image's arithmetic:

1. **Values** in float64; 255 or 65535 becomes 1, floats stay.
2. **Smoothing** by a Gaussian of ``sigma`` pixels, cut at 4 sigma, along y, then along x; the image is mirrored at its
   border, the outermost pixel repeated. A sum begins with the middle tap, then adds pairs, the outermost first.
3. **Edges** between each pixel and its 8 neighbours. Weight: the Euclidean distance of the two colours.
4. **Merging** (the paper's section 4). Edges in ascending order, C(u) the component of pixel u:
   if w(u, v) < min(T(C(u)), T(C(v))), the two become one, with T = w + scale / 255 / size, rounded to float32. That of
   a single pixel is scale / 255. (The paper's k is ``scale`` for colours of 0 to 255.)
5. **Small components.** Edges once more in the same order: where one of the two components has fewer than
   ``min_size`` pixels, they become one.
6. **Labels** in the raster order of their first pixels.

Edges of equal weight go by kind, to the right neighbour, down, right down, left down; then by the raster order of the
upper left corner of the two pixels. The order matters for 5 (for 4 only where ``scale / 255 / size`` is lost in
float32); scikit-image's, from an unstable sort, depends on the version of NumPy and on the processor.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyseg.reference.superpixel_stats import superpixel_stats

__all__ = ["felzenszwalb"]

Floats = NDArray[np.float64]
MOST = 1e150  # a magnitude whose square, and sums of them, no float64 overflows


def values(image: NDArray[Any], channel_axis: int | None) -> Floats:
    """The image as float64 [H, W, C]. A 2-D array never has channels."""
    image = image[..., None] if channel_axis is None or image.ndim == 2 else np.moveaxis(image, channel_axis, -1)
    full = np.iinfo(image.dtype).max if image.dtype.kind == "u" else 1
    result = np.ascontiguousarray(image, np.float64) * (1.0 / full)
    if not (abs(result) <= MOST).all():
        wrong = result[~(abs(result) <= MOST)][0]
        raise ValueError(f"felzenszwalb: image must be finite, of magnitudes up to {MOST:g}, got {wrong:g}")
    return result


def taps(sigma: float) -> Floats:
    """The Gaussian, [2 radius + 1]; of one tap where sigma is below 1/8."""
    radius = int(4.0 * sigma + 0.5)
    if radius == 0:
        return np.ones(1)
    kernel = np.array([math.exp(-0.5 / (sigma * sigma) * (x * x)) for x in range(-radius, radius + 1)])
    result: Floats = kernel / kernel.sum()
    return result


def smooth(image: Floats, sigma: float, axis: int) -> Floats:
    kernel, size = taps(sigma), image.shape[axis]
    radius = len(kernel) // 2

    def moved(step: int) -> Floats:
        at = (np.arange(size) + step) % (2 * size)
        result: Floats = np.take(image, np.where(at < size, at, 2 * size - 1 - at), axis)
        return result

    result: Floats = image * kernel[radius]
    for step in range(radius, 0, -1):
        result += (moved(-step) + moved(step)) * kernel[radius + step]
    return result


def edges(image: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """(u, v, weight) of all, in the order that decides between equal weights; u, v as y * W + x."""
    pixel = np.arange(image.shape[0] * image.shape[1]).reshape(image.shape[:2])
    left, right, top, bottom = np.s_[:, :-1], np.s_[:, 1:], np.s_[:-1], np.s_[1:]
    pairs: list[tuple[Any, Any]] = [(left, right), (top, bottom)]
    pairs += [(np.s_[:-1, :-1], np.s_[1:, 1:]), (np.s_[:-1, 1:], np.s_[1:, :-1])]
    weights = [np.sqrt(np.square(image[a] - image[b]).sum(-1)).ravel() for a, b in pairs]
    one = np.concatenate([pixel[a].ravel() for a, _ in pairs])
    other = np.concatenate([pixel[b].ravel() for _, b in pairs])
    return one, other, np.concatenate(weights)


class Components:
    """Sets of pixels that can be united; the first of its pixels stands for each."""

    def __init__(self, count: int) -> None:
        self.parent = list(range(count))
        self.size = [1] * count

    def of(self, pixel: int) -> int:
        while self.parent[pixel] != pixel:
            self.parent[pixel] = pixel = self.parent[self.parent[pixel]]
        return pixel

    def unite(self, a: int, b: int) -> int:
        a, b = min(a, b), max(a, b)
        self.parent[b] = a
        self.size[a] += self.size[b]
        return a


def felzenszwalb(
    image: NDArray[Any],
    scale: float = 1.0,
    sigma: float = 0.8,
    min_size: int = 20,
    *,
    start_label: int = 0,
    channel_axis: int | None = -1,
    return_stats: bool = False,
) -> Any:
    """Graph-based segmentation of a NumPy array, as this module's description defines it.

    Arguments and results as of ``pyseg.felzenszwalb``; arguments are taken as valid.

    Raises:
        ValueError: pixels that are NaN, infinite or beyond 1e150.
    """
    smoothed = values(image, channel_axis)
    for axis in range(2):
        smoothed = smooth(smoothed, sigma, axis)
    u, v, weight = edges(smoothed)
    order = np.argsort(weight, kind="stable")
    queue = list(zip(u[order].tolist(), v[order].tolist(), weight[order].tolist(), strict=True))
    height, width = smoothed.shape[:2]
    components = Components(height * width)
    k = scale / 255.0
    with np.errstate(over="ignore"):
        threshold = [float(np.float32(k))] * (height * width)
        for one, other, w in queue:
            a, b = components.of(one), components.of(other)
            if a != b and w < threshold[a] and w < threshold[b]:
                c = components.unite(a, b)
                threshold[c] = float(np.float32(w + k / components.size[c]))
    for one, other, _ in queue:
        a, b = components.of(one), components.of(other)
        if a != b and min(components.size[a], components.size[b]) < min_size:
            components.unite(a, b)
    roots = [components.of(pixel) for pixel in range(height * width)]
    labels = np.unique(roots, return_inverse=True)[1].reshape(height, width).astype(np.int32) + np.int32(start_label)
    if not return_stats:
        return labels
    return labels, superpixel_stats(labels, image, start_label=start_label, channel_axis=channel_axis)
