"""The definition of ``pyseg.slic`` in plain NumPy: slow, and equal bit for bit.

SLIC (Achanta, Shaji, Smith, Lucchi, Fua, Süsstrunk, "SLIC Superpixels Compared to State-of-the-Art Superpixel Methods",
TPAMI 2012) is k-means in colour and space in which a pixel is compared to near centres only.

1. **Colour.** CIELAB (D65) where the image is RGB; otherwise the range of an integer type, or of a float 0 to 1,
   becomes 0 to 100, the range of CIELAB's L. (:mod:`pyseg.reference.lab`) Smoothed by (1 2 1) / 4 along each axis,
   which removes most fragments of one pixel. In a mask what lies outside has no weight.
2. **Seeds.** A regular grid of about K centres of interval S, each moved to the pixel of lowest gradient in 3x3 and
   given its colour. In a mask: the means of its K fullest cells of side S = (area / K)^(1/2), spread by five passes
   without colour (what maskSLIC, Irving 2016, does by k-means). Or a warm start.
   (:mod:`pyseg.reference._slic_seeds`)
3. **Distance.** L1 in colour + compactness / S times L1 in space. (The paper has L2 in both; L1 follows edges better.)
   SLICO divides the colour by each cluster's largest colour distance in the pass before, and S alone divides the space.
4. **Search.** The image is cut into tiles of 16x16 pixels of one slice. A pixel's candidates are the centres whose
   window, +-S along each axis, touches its tile; if there is none, the window doubles until there is. The nearest
   candidate wins, of equally near ones the first. (:mod:`pyseg.reference._slic_passes`)
5. **Passes.** Each assigns pixels and then moves every centre to the mean of its pixels; a centre that has none stays.
   Where S >= 10 pixels, a pass looks at a quarter of them: those with (y - x) mod 4 = 0, then 2, 1, 3, 0, ... With
   ``tol`` each looks at all, and they end when the centres move no more than ``tol`` pixels on average.
6. **Labels.** A last assignment of every pixel; then components of fewer than min_size_factor * pixels / K pixels,
   rounded down, are absorbed, and superpixels numbered by cluster, then by first pixel.
   (:mod:`pyseg.reference.connectivity`)

Two arithmetics follow these rules. 8-bit images of up to 3 channels without mask, SLICO, Gaussian or spacing, of 2 <= S
<= 1024, compactness <= 32 and compactness / S < 7.9, are computed in integers: colours are bytes at twice their value,
positions are in 1/16 pixel, means are rounded half up, distances end at 255; where S < 10, tiles are 8x8.
(:mod:`pyseg.reference._slic_bytes`) All else is computed in float32. (:mod:`pyseg.reference._slic_planes`)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyseg.reference import connectivity
from pyseg.reference._slic_bytes import ByteClusters, byte_planes
from pyseg.reference._slic_passes import assign, is_sampled, iterate
from pyseg.reference._slic_planes import PlaneClusters, float_planes
from pyseg.reference._slic_seeds import seed_grid
from pyseg.reference.superpixel_stats import superpixel_stats

__all__ = ["slic"]


def _volume(image: NDArray[Any], channel_axis: int | None) -> tuple[NDArray[Any], int]:
    """The image as [D, H, W, C], and how many spatial axes it has. A 2-D array never has channels."""
    image = image[..., None] if channel_axis is None or image.ndim == 2 else np.moveaxis(image, channel_axis, -1)
    return (image if image.ndim == 4 else image[None]), image.ndim - 1


def _per_axis(value: float | Sequence[float], dims: int, missing: float) -> list[float]:
    """One number for all axes, or one each, as z, y, x."""
    values = [float(v) for v in value] if isinstance(value, Sequence) else [float(value)] * dims
    return [missing] * (3 - dims) + values


def _fits_bytes(
    image: NDArray[Any], compactness: float, interval: float, sigma: list[float] | None, spacing: list[float]
) -> bool:
    return (
        image.dtype == np.uint8
        and image.shape[0] == 1
        and image.shape[3] <= 3
        and (sigma is None or sigma == [0, 0, 0])
        and spacing[1:] == [1, 1]
        and compactness <= 32
        and 2 <= interval <= 1024
        and compactness / interval < 7.9
    )


def slic(
    image: NDArray[Any],
    n_segments: int = 100,
    compactness: float = 10.0,
    max_iter: int = 10,
    *,
    tol: float | None = None,
    sigma: float | Sequence[float] | None = None,
    convert2lab: bool | None = None,
    slic_zero: bool = False,
    enforce_connectivity: bool = True,
    min_size_factor: float = 0.25,
    start_label: int = 0,
    mask: NDArray[Any] | None = None,
    spacing: float | Sequence[float] | None = None,
    channel_axis: int | None = -1,
    initial_centers: NDArray[Any] | None = None,
    return_stats: bool = False,
) -> Any:
    """SLIC superpixels of a NumPy array, as this module's description defines them.

    Arguments and results as of ``pyseg.slic``; arguments are taken as valid.

    Raises:
        ValueError: NaN or infinite pixels.
    """
    volume, dims = _volume(image, channel_axis)
    to_lab = volume.shape[3] == 3 if convert2lab is None else bool(convert2lab)
    inside = np.ones(volume.shape[:3], np.bool_)
    if mask is not None:
        inside = np.asarray(mask).astype(np.bool_).reshape(inside.shape)
    centers = None
    if initial_centers is not None:
        centers = np.pad(np.asarray(initial_centers, np.float64), ((0, 0), (3 - dims, 0)))
    smoothing = None if sigma is None else _per_axis(sigma, dims, 0.0)
    with np.errstate(all="ignore"):  # values near the largest float
        labels = _labels(
            volume, inside, mask is not None, n_segments, compactness, max_iter, tol, smoothing, to_lab, slic_zero,
            enforce_connectivity, min_size_factor, _per_axis(1.0 if spacing is None else spacing, dims, 1.0), centers,
        )  # fmt: skip
    result = (labels + start_label).astype(np.int32).reshape(volume.shape[3 - dims : 3])
    if not return_stats:
        return result
    stats = superpixel_stats(result, image, start_label=start_label, channel_axis=channel_axis, convert2lab=convert2lab)
    return result, stats


def _labels(
    image: NDArray[Any],
    inside: NDArray[np.bool_],
    masked: bool,
    n_segments: int,
    compactness: float,
    max_iter: int,
    tol: float | None,
    sigma: list[float] | None,
    to_lab: bool,
    slic_zero: bool,
    enforce_connectivity: bool,
    min_size_factor: float,
    spacing: list[float],
    centers: NDArray[np.float64] | None,
) -> NDArray[np.int64]:
    """[D, H, W]: 0, 1, ..., and -1 outside of the mask."""
    pixels = int(inside.sum())
    if centers is None and n_segments >= pixels:  # each pixel is its own superpixel
        return np.where(inside, np.cumsum(inside).reshape(inside.shape) - 1, -1)
    if centers is not None:
        n_segments = len(centers)
    counts, interval = seed_grid(inside.shape, n_segments, spacing)
    clusters: ByteClusters | PlaneClusters
    if not masked and not slic_zero and _fits_bytes(image, compactness, interval, sigma, spacing):
        clusters = ByteClusters(byte_planes(image, to_lab, sigma is None), interval, compactness)
        if centers is not None:
            clusters.warm_start(centers, to_lab)
        else:
            clusters.seed(counts)
        iterate(clusters, max_iter, is_sampled(interval, tol), tol)
    else:
        if masked:
            axes = [d for d in range(3) if d > 0 or inside.shape[0] > 1]
            interval = math.pow(math.prod(spacing[d] for d in axes) * pixels / n_segments, 1.0 / len(axes))
        planes = float_planes(image, inside, sigma, to_lab)
        clusters = PlaneClusters(planes, inside, interval, compactness, spacing, slic_zero)
        if centers is not None:
            clusters.warm_start(centers)
        elif masked:
            clusters.seed_mask(n_segments, tol)
        else:
            clusters.seed(counts)
        iterate(clusters, max_iter, is_sampled(interval / max(spacing[1:]), tol), tol)
    nearest = assign(clusters)
    if not enforce_connectivity:
        return connectivity.number_clusters(nearest)
    min_size = int(min_size_factor * (pixels / len(clusters.at)))
    return connectivity.enforce(nearest, clusters.colors, min_size)
