"""The definition of ``pyseg.roi_align`` and its gradient in plain NumPy: slow, and equal bit for bit.

He, Gkioxari, Dollar, Girshick, "Mask R-CNN", ICCV 2017, section 3, with the arithmetic of torchvision's CPU kernels, in
the features' type (16-bit ones in float32, rounded at the end):

1. A box's corners times ``spatial_scale``, minus 1/2 where ``aligned``. Not aligned: at least 1 wide and high.
2. ``output_size`` bins, each with a grid of ``sampling_ratio`` samples a side, or, where that is not positive, as many
   as the box's size over the bins, rounded up; sample i of bin b lies at begin + b * bin + (i + 1/2) * bin / grid.
3. A sample outside [-1, size], or at NaN, is left out. Else it is moved to the border and interpolated bilinearly.
4. Samples are added row by row, and the sum is divided by the size of the grid.

The gradient adds g * weight / size of the grid to each of the four pixels, in the order of boxes, bins and samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["roi_align", "roi_align_backward"]

Spot = tuple[int, int, Any, Any]  # two pixels along an axis, and their weights


def _axis(low: Any, high: Any, bins: int, pixels: int, scale: float, sampling: int, aligned: bool) -> Any:
    """The samples of each bin within the map, and the size of the grid."""
    kind = type(low)
    offset = kind(0.5 if aligned else 0)
    begin = low * kind(scale) - offset
    length = (high * kind(scale) - offset) - begin
    if not aligned and length < 1:
        length = kind(1)
    size = length / kind(bins)
    grid = kind(sampling) if sampling > 0 else np.ceil(size)
    spots: list[list[Spot]] = [[] for _ in range(bins)]
    if not (np.isfinite(begin) and np.isfinite(size) and 1 <= grid <= 1e18):
        return spots, grid
    for b in range(bins):
        for i in range(int(grid)):
            at = begin + kind(b) * size + kind(np.float32(i) + np.float32(0.5)) * size / grid
            if -1 <= at <= pixels:
                spots[b].append(_spot(at, pixels))
    return spots, grid


def _spot(at: Any, pixels: int) -> Spot:
    kind = type(at)
    at = max(at, kind(0))
    low = int(at)
    if low >= pixels - 1:
        return pixels - 1, pixels - 1, kind(1), kind(0)
    above = at - kind(low)
    return low, low + 1, kind(1) - above, above


def _walk(
    boxes: NDArray[Any], height: int, width: int, bins: tuple[int, int], scale: float, sampling: int, aligned: bool
) -> Iterator[tuple[int, int, int, int, Any, list[tuple[int, int, Any]]]]:
    """(box, image, bin's row, its column, size of the grid, [y, x, weight] of all samples' pixels) of each bin."""
    for k, (image, x1, y1, x2, y2) in enumerate(boxes):
        rows, down = _axis(y1, y2, bins[0], height, scale, sampling, aligned)
        columns, across = _axis(x1, x2, bins[1], width, scale, sampling, aligned)
        count = type(x1)(max(float(down) * float(across), 1.0))
        count = count if count == count else type(x1)(1)
        for i in range(bins[0]):
            for j in range(bins[1]):
                pixels = [
                    (y, x, v * h)
                    for y0, y1_, v0, v1 in rows[i]
                    for x0, x1_, h0, h1 in columns[j]
                    for y, x, v, h in ((y0, x0, v0, h0), (y0, x1_, v0, h1), (y1_, x0, v1, h0), (y1_, x1_, v1, h1))
                ]
                yield k, int(image), i, j, count, pixels


def _kind(dtype: Any) -> Any:
    return np.float64 if dtype == np.float64 else np.float32


def roi_align(
    features: NDArray[Any],
    boxes: NDArray[Any],
    output_size: tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> NDArray[Any]:
    """[K, C, *output_size] of features [B, C, H, W] and boxes [K, 5]; arguments are taken as valid."""
    kind = _kind(features.dtype)
    maps = features.astype(kind)
    out = np.zeros((len(boxes), features.shape[1], *output_size), kind)
    with np.errstate(all="ignore"):
        height, width = maps.shape[2:]
        walk = _walk(boxes.astype(kind), height, width, output_size, spatial_scale, sampling_ratio, aligned)
        for k, image, i, j, count, pixels in walk:
            total = np.zeros(maps.shape[1], kind)
            for s in range(0, len(pixels), 4):
                parts = [weight * maps[image, :, y, x] for y, x, weight in pixels[s : s + 4]]
                total = total + (((parts[0] + parts[1]) + parts[2]) + parts[3])
            out[k, :, i, j] = total / count
        return out.astype(features.dtype)


def roi_align_backward(
    gradient: NDArray[Any],
    boxes: NDArray[Any],
    shape: tuple[int, int, int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> NDArray[Any]:
    """The gradient with respect to features of that shape, of a cotangent [K, C, height, width]."""
    kind = _kind(gradient.dtype)
    given = gradient.astype(kind)
    out = np.zeros(shape, kind)
    bins = (gradient.shape[2], gradient.shape[3])
    with np.errstate(all="ignore"):
        walk = _walk(boxes.astype(kind), shape[2], shape[3], bins, spatial_scale, sampling_ratio, aligned)
        for k, image, i, j, count, pixels in walk:
            for y, x, weight in pixels:
                out[image, :, y, x] += given[k, :, i, j] * weight / count
        return out.astype(gradient.dtype)
