"""The definition of ``pyseg.quickshift`` in plain NumPy: slow, and equal bit for bit.

Quick shift (Vedaldi and Soatto, "Quick Shift and Kernel Methods for Mode Seeking", ECCV 2008):

1. **Features.** CIELAB (D65) where the image is RGB; otherwise the range of an integer type, or of a float 0 to 1,
   becomes 0 to 100, the range of CIELAB's L. Times ``ratio``, in float32. (:mod:`pyseg.reference.lab`) Smoothed by a
   Gaussian that is cut off at 4 sigma, down the columns, then along the rows; beyond its border the image is mirrored.
2. **Window.** +-ceil(3 kernel_size) rows and columns, no more than the image has.
3. **Density.** The sum over the window's other pixels of exp(-d^2 / (2 kernel_size^2)), d the distance in features and
   in space; each term is a whole number of steps of 2^-b, the smallest steps with which the sums of a window stay below
   2^31 (b is at most 24). So the order of the sum does not matter, and pixels that a shift or a reflection of the image
   maps to each other have the same density. With ``rng``, normal noise of standard deviation 1e-5 (where steps are
   wider than 1/800000, of 8 steps) is added.
4. **Parent.** The nearest pixel of the window of higher density, of equally near ones the first in raster order. Of
   equal densities the first in raster order counts as the higher, so that a flat area is one tree.
5. **Segments.** Links longer than ``max_dist`` are cut; a segment is a tree, and they are numbered in order of their
   first pixels.

The paper links any two points, and so do not windows; its density counts the pixel itself, which adds 1 to all.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyseg.reference.lab import lab_floats
from pyseg.reference.superpixel_stats import superpixel_stats

__all__ = ["quickshift"]

f32 = np.float32
Floats = NDArray[np.float32]

# 2^f for -1/2 .. 1/2 as a polynomial of degree 4 (minimax), divided by its leading factor.
_POWER = [f32(p) for p in (5.842974319, 25.10395896, 72.42574987, 104.4920169)]
_LOG_LEAD = -6.7072499811404  # of that factor, to base 2
_LOG2_E = 1.4426950408889634


def _smooth(planes: Floats, axis: int, sigma: float) -> Floats:
    radius, size = int(min(4.0 * sigma + 0.5, 1e6)), planes.shape[axis]
    bell = {i: math.exp(-0.5 * (i / sigma) ** 2) for i in range(-radius, radius + 1)}
    total = 0.0
    for b in bell.values():
        total += b
    if radius > 8 * size:  # taps a period apart become one
        folded = dict.fromkeys(range(2 * size), 0.0)
        for i, b in bell.items():
            folded[i % (2 * size)] += b
        bell = folded
    out = np.zeros_like(planes)
    for j, (i, b) in enumerate(bell.items()):
        beside = (np.arange(size) + i) % (2 * size)
        term = np.take(planes, np.minimum(beside, 2 * size - 1 - beside), axis) * f32(b / total)
        out = term if j == 0 else out + term
    return out


def _features(image: NDArray[Any], ratio: float, sigma: float, to_lab: bool) -> Floats:
    """[H, W, C] of any type -> float32."""
    full = np.iinfo(image.dtype).max if image.dtype.kind == "u" else 1
    planes = image.astype(f32) * (f32(1) / f32(full))
    factor = f32(min(ratio if to_lab else 100 * ratio, float(np.finfo(f32).max)))
    planes = (lab_floats(planes) if to_lab else planes) * factor
    if not np.isfinite(planes).all():
        raise ValueError("quickshift: image must be finite")
    if sigma > 0:
        planes = _smooth(_smooth(planes, 0, sigma), 1, sigma)
    return planes


def _offsets(window: tuple[int, int]) -> list[tuple[int, int]]:
    """(dy, dx) in raster order, without (0, 0)."""
    rows, columns = (range(-w, w + 1) for w in window)
    return [(dy, dx) for dy in rows for dx in columns if (dy, dx) != (0, 0)]


def _pair(values: NDArray[Any], dy: int, dx: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Of all pixels whose neighbour (dy, dx) is in the image: theirs, and the neighbour's. Views."""
    here = tuple(slice(max(0, -d), size - max(0, d)) for d, size in zip((dy, dx), values.shape, strict=False))
    there = tuple(slice(max(0, d), size - max(0, -d)) for d, size in zip((dy, dx), values.shape, strict=False))
    return values[here], values[there]


def _squared(planes: Floats, dy: int, dx: int) -> Floats:
    """Squared distance in colour, summed in the channels' order."""
    here, there = _pair(planes, dy, dx)
    total = np.zeros(here.shape[:2], f32)
    for c in range(planes.shape[2]):
        difference = here[..., c] - there[..., c]
        total = difference * difference if c == 0 else total + difference * difference
    return total


def _power(y: Floats) -> Floats:
    """2^y over the polynomial's leading factor, for y >= -12, its odd and even powers apart."""
    whole = np.rint(y)
    f = y - whole
    f2 = f * f
    even = (f2 + _POWER[1]) * f2 + _POWER[3]
    odd = f2 * _POWER[0] + _POWER[2]
    power: Floats = np.ldexp(odd * f + even, whole.astype(np.int32))
    return power


def _bits(window: tuple[int, int]) -> int:
    """b of the module's description; 2^24 steps are left for noise."""
    area = (2 * window[0] + 1) * (2 * window[1] + 1)
    return next(b for b in range(24, -1, -1) if area * 2.0**b <= 2.0**31 - 2.0**24)


def _densities(planes: Floats, window: tuple[int, int], kernel_size: float) -> NDArray[np.int64]:
    density = np.zeros(planes.shape[:2], np.int64)
    factor = -0.5 / (kernel_size * kernel_size) * _LOG2_E
    for dy, dx in _offsets(window):
        space = f32(_bits(window) + _LOG_LEAD + factor * (dy * dy + dx * dx))
        exponent = np.maximum(_squared(planes, dy, dx) * f32(factor) + space, f32(-12))
        _pair(density, dy, dx)[0][...] += np.rint(_power(exponent)).astype(np.int64)
    return density


def _parents(planes: Floats, density: NDArray[np.int64], window: tuple[int, int]) -> tuple[NDArray[np.int64], Floats]:
    """Raster index of each pixel's parent, its own where there is none; and the squared distance, infinite there."""
    height, width = density.shape
    parent = np.arange(height * width).reshape(height, width)
    nearest = np.full((height, width), np.inf, f32)
    for dy, dx in _offsets(window):
        mine, its = _pair(density, dy, dx)
        best, link = _pair(nearest, dy, dx)[0], _pair(parent, dy, dx)[0]
        first = dy < 0 or (dy == 0 and dx < 0)
        squared = _squared(planes, dy, dx) + f32(dy * dy) + f32(dx * dx)
        closer = (its >= mine if first else its > mine) & (squared < best)
        own = _pair(np.arange(height * width).reshape(height, width), dy, dx)[1]
        best[closer], link[closer] = squared[closer], own[closer]
    return parent, nearest


def _number(parent: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, ... by tree, in order of first appearance."""
    root = parent.ravel()
    while (root[root] != root).any():
        root = root[root]
    _, first, tree = np.unique(root, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[tree].reshape(parent.shape)


def quickshift(
    image: NDArray[Any],
    ratio: float = 1.0,
    kernel_size: float = 5.0,
    max_dist: float = 10.0,
    *,
    sigma: float = 0.0,
    convert2lab: bool | None = None,
    rng: int | np.random.Generator | None = None,
    start_label: int = 0,
    channel_axis: int | None = -1,
    return_tree: bool = False,
    return_stats: bool = False,
) -> Any:
    """Quick shift of a NumPy array, as this module's description defines it.

    Arguments and results as of ``pyseg.quickshift``; arguments are taken as valid.

    Raises:
        ValueError: NaN or infinite pixels.
    """
    planes = image[..., None] if image.ndim == 2 else np.moveaxis(image, channel_axis or 0, -1)
    to_lab = planes.shape[2] == 3 if convert2lab is None else bool(convert2lab)
    height, width = planes.shape[:2]
    reach = math.ceil(f32(3) * f32(min(kernel_size, 1e9)))
    window = min(reach, height - 1), min(reach, width - 1)
    with np.errstate(all="ignore"):  # values near the largest float
        features = _features(planes, ratio, sigma, to_lab)
        density = _densities(features, window, kernel_size)
        if rng is not None:
            noise = np.random.default_rng(rng).normal(scale=1e-5, size=(height, width))
            density += np.rint(noise * max(2.0 ** _bits(window), 8e5)).astype(np.int64)
        parents, squared = _parents(features, density, window)
        distances = np.sqrt(squared)
    own = np.arange(height * width).reshape(height, width)
    cut = np.where(distances <= f32(min(max_dist, float(np.finfo(f32).max))), parents, own)
    labels = (_number(cut) + start_label).astype(np.int32)
    results: list[Any] = [labels, parents, distances] if return_tree else [labels]
    if return_stats:
        results.append(
            superpixel_stats(labels, image, start_label=start_label, channel_axis=channel_axis, convert2lab=convert2lab)
        )
    return results[0] if len(results) == 1 else tuple(results)
