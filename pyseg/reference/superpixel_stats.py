"""The definition of ``pyseg.superpixel_stats``: what is known of each superpixel, pixel by pixel."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyseg.reference.lab import lab_floats

__all__ = ["SuperpixelStats", "superpixel_stats"]


@dataclass(frozen=True)
class SuperpixelStats:
    """Statistics of n superpixels; row i is of label ``start_label + i``. The fields of ``pyseg.SuperpixelStats``."""

    n: int
    start_label: int
    area: NDArray[np.int64]  # [n] pixels
    center: NDArray[np.float64]  # [n, 2] y, x or [n, 3] z, y, x: mean position in pixels
    bbox: NDArray[np.int32]  # [n, 4] y0, x0, y1, x1 or [n, 6]; the ends excluded; zeros without a pixel
    mean_color: NDArray[np.float64]  # [n, C] in the image's own units
    mean_lab: NDArray[np.float64] | None  # [n, 3]
    edges: NDArray[np.int32]  # [e, 2] labels a < b that share a boundary, sorted
    boundary_length: NDArray[np.int64]  # [e] neighbouring pixel pairs


def _color(image: NDArray[Any], dims: int, channel_axis: int | None) -> NDArray[Any]:
    """The image as [..., C]."""
    if image.ndim == dims:
        return image[..., None]
    assert channel_axis is not None
    return np.moveaxis(image, channel_axis, -1)


def _unit(color: NDArray[Any]) -> NDArray[np.float32]:
    """float32, with 255 or 65535 as 1."""
    full = np.iinfo(color.dtype).max if color.dtype.kind == "u" else 1
    return color.astype(np.float32) * (np.float32(1) / np.float32(full))


def _adjacency(labels: NDArray[Any], first: int, end: int) -> Counter[tuple[int, int]]:
    """Pairs a < b of labels in [first, end), and how often a pixel of a lies beside one of b."""
    pairs: Counter[tuple[int, int]] = Counter()
    for axis in range(labels.ndim):
        before, after = np.delete(labels, -1, axis), np.delete(labels, 0, axis)
        for a, b in zip(before.ravel().tolist(), after.ravel().tolist(), strict=True):
            if a != b and first <= min(a, b) and max(a, b) < end:
                pairs[min(a, b), max(a, b)] += 1
    return pairs


def superpixel_stats(
    labels: NDArray[Any],
    image: NDArray[Any],
    *,
    n: int | None = None,
    start_label: int = 0,
    channel_axis: int | None = -1,
    convert2lab: bool | None = None,
) -> SuperpixelStats:
    """Area, centre, bounding box, mean colours and adjacency.

    Arguments as of ``pyseg.superpixel_stats``, taken as valid.
    """
    dims = labels.ndim
    color = _color(image, dims, channel_axis)
    if n is None:
        n = max(0, int(labels.max()) - start_label + 1) if labels.size else 0
    lab = None
    if convert2lab or (convert2lab is None and color.shape[-1] == 3):
        lab = lab_floats(_unit(color)).astype(np.float64)
    area = np.zeros(n, np.int64)
    center, bbox = np.zeros((n, dims)), np.zeros((n, 2 * dims), np.int32)
    mean, mean_lab = np.zeros((n, color.shape[-1])), np.zeros((n, 3))
    for i in range(n):
        own = labels == start_label + i
        where = np.argwhere(own)
        area[i] = len(where)
        if len(where) == 0:
            continue
        center[i] = where.sum(axis=0) / len(where)
        bbox[i] = [*where.min(axis=0), *(where.max(axis=0) + 1)]
        mean[i] = color[own].astype(np.float64).mean(axis=0)
        if lab is not None:
            mean_lab[i] = lab[own].mean(axis=0)
    pairs = sorted(_adjacency(labels, start_label, start_label + n).items())
    return SuperpixelStats(
        n=n,
        start_label=start_label,
        area=area,
        center=center,
        bbox=bbox,
        mean_color=mean,
        mean_lab=None if lab is None else mean_lab,
        edges=np.array([pair for pair, _ in pairs], np.int32).reshape(-1, 2),
        boundary_length=np.array([length for _, length in pairs], np.int64),
    )
