"""The definition of ``pyseg.turbopixels`` in plain NumPy: slow, and equal bit for bit.

TurboPixels (Levinshtein, Stere, Kutulakos, Fleet, Dickinson, Siddiqi, "TurboPixels: Fast Superpixels Using Geometric
Flows", TPAMI 2009) grows regions from seeds by a level-set flow that slows down at edges and stops where two fronts
meet. psi is the signed distance to the front, negative in assigned pixels:

    psi_t = -S_I S_B |grad psi|,    S_I = (1 - alpha kappa) phi - beta N . grad phi,

kappa the front's curvature, N its normal, phi the image's affinity, and S_B 0 on the skeleton of the unassigned pixels,
else 1. What the paper leaves open is taken from its authors' published code, or else decided here:

1. **Image.** Values of 0 to 255 (the range of an integer type; of a float 0 to 1), smoothed by ten steps of 0.1 of mean
   curvature motion, as published. The gradient of several channels is the root of their mean square; the published code
   takes that of the grey image, which misses edges between colours of one brightness.
   phi = exp(-E / nu), E = |grad I| / (G_sigma * |grad I| + gamma), sigma = 0.8 S for superpixels of S^2 pixels, as
   published. (:mod:`pyseg.reference._turbopixels_image`)
2. **Seeds.** A regular grid, each seed moved to the highest affinity within S / 4, as published; discs of radius 1.5
   pixels, or of S / 4 where that is less. The pixel of a seed is never given up.
3. **Flow.** kappa and S_I are clamped to -1 .. 1, as published. The pixels that the front runs through, |psi| <= 1/2,
   have the velocity of their own place. All others within 4 pixels are carried by their neighbours such that
   |grad psi| = 1: the velocity in the band is that of the front nearest to it, which is the paper's extension of speed.
   (A narrow band kept so is a sparse field, Whitaker 1998.) Steps of 0.5, as published.
4. **Skeleton.** By homotopic thinning of the unassigned pixels in order of psi, every six steps, as published.
   (:mod:`pyseg.reference._turbopixels_flow`)
5. **Regions.** A pixel that the front takes in belongs to the region of the neighbour that it came from.
6. **End.** After ``max_iter`` steps; or when, at a skeleton, more than half of the pixels are assigned and
   less than 10^-4 of all pixels a step were added since the last one, as published.
7. **What is left** (the skeleton, mostly) joins the regions beside it by seeded region growing, those first whose
   colour is nearest to the region's mean; the published code thins it by distance and gradient. Then components of
   fewer than 1/16 of the mean area are absorbed, and superpixels numbered by seed, then by first pixel.
   (:mod:`pyseg.reference.connectivity`)

All in float32, in the order of operations that is written here.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyseg.reference import connectivity
from pyseg.reference._turbopixels_flow import evolve, skeleton, start, velocity
from pyseg.reference._turbopixels_image import affinity, smoothed_planes
from pyseg.reference.superpixel_stats import superpixel_stats

__all__ = ["turbopixels"]

f32 = np.float32
Floats = NDArray[Any]  # float32
Ints = NDArray[np.int64]

EVERY = 6  # steps from one skeleton to the next
GROWTH = 1e-4  # of all pixels, a step: less is the end


def seed_grid(height: int, width: int, n_segments: int) -> tuple[int, int]:
    """Rows and columns of seeds: the nearest whole numbers for square cells."""
    side = math.sqrt(height * width / n_segments)
    rows = min(max(math.floor(height / side + 0.5), 1), height)
    return rows, min(max(math.floor(n_segments / rows + 0.5), 1), width)


def place_seeds(phi: Floats, rows: int, columns: int) -> list[tuple[int, int]]:
    """The middles of the cells, moved to the highest phi around (then the nearest, then the first): [(y, x)]."""
    height, width = phi.shape
    reach = max(0, math.ceil((math.floor((min(height / rows, width / columns) - 2) / 2) - 1) / 2))
    seeds = []
    for i in range(rows):
        for j in range(columns):
            y, x = (2 * i + 1) * height // (2 * rows), (2 * j + 1) * width // (2 * columns)
            places = [
                (-float(phi[y + dy, x + dx]), dy * dy + dx * dx, y + dy, x + dx)
                for dy in range(-min(reach, y), min(reach, height - 1 - y) + 1)
                for dx in range(-min(reach, x), min(reach, width - 1 - x) + 1)
            ]
            seeds.append(min(places)[2:])
    return seeds


def mean_colors(planes: Floats, owner: Ints, count: int) -> Floats:
    """[count, C] means over the assigned pixels, in steps of 1/256."""
    assigned = owner >= 0
    area = np.bincount(owner[assigned], minlength=count)
    fixed = [np.rint(a[assigned] * f32(256)).astype(np.int64) for a in planes]
    sums = [np.bincount(owner[assigned], values, count) for values in fixed]  # whole numbers, exact in float64
    return np.stack([(s / area / 256).astype(f32) for s in sums], axis=1)


def assign_rest(owner: Ints, planes: Floats, colors: Floats) -> Ints:
    """Seeded region growing (Adams and Bischof 1994).

    Of all unassigned pixels that touch a region, the one whose colour is nearest to that region's mean joins it, and so
    on. In 64 levels of distance, of equal ones the first found.
    """
    owner = owner.copy()
    height, width = owner.shape
    scale, found, queue = f32(0.25) / f32(len(planes)), itertools.count(), list[tuple[int, int, int, int, int]]()

    def beside(y: int, x: int) -> Iterator[tuple[int, int]]:
        places = ((y - 1, x), (y, x - 1), (y, x + 1), (y + 1, x))
        return ((v, u) for v, u in places if 0 <= v < height and 0 <= u < width)

    def offer(y: int, x: int, region: int) -> None:
        distance = f32(0)
        for c in range(len(planes)):
            distance = distance + abs(colors[region, c] - planes[c, y, x])
        heapq.heappush(queue, (int(min(distance * scale, f32(63))), next(found), y, x, region))

    for y, x in np.argwhere(owner < 0).tolist():
        for v, u in beside(y, x):
            if owner[v, u] >= 0:
                offer(y, x, int(owner[v, u]))
    while queue:
        _, _, y, x, region = heapq.heappop(queue)
        if owner[y, x] < 0:
            owner[y, x] = region
            for v, u in beside(y, x):
                if owner[v, u] < 0:
                    offer(v, u, region)
    return owner


def turbopixels(
    image: NDArray[Any],
    n_segments: int = 100,
    *,
    alpha: float = 0.3,
    beta: float = 1.0,
    nu: float = 10 / 127,
    gamma: float = 10.0,
    sigma: float | None = None,
    max_iter: int = 500,
    start_label: int = 0,
    channel_axis: int | None = -1,
    enforce_connectivity: bool = True,
    return_stats: bool = False,
) -> Any:
    """TurboPixels of a NumPy array, as this module's description defines them.

    Arguments and results as of ``pyseg.turbopixels``; arguments are taken as valid.

    Raises:
        ValueError: NaN or infinite pixels.
    """
    planes = np.moveaxis(image, channel_axis, -1) if channel_axis is not None and image.ndim == 3 else image[..., None]
    with np.errstate(all="ignore"):  # values near the largest float
        smooth = smoothed_planes(planes)
    height, width = smooth.shape[1:]
    if n_segments >= height * width:  # each pixel is its own superpixel
        labels = np.arange(height * width).reshape(height, width)
    else:
        owner, count, colors = _flow(smooth, n_segments, alpha, beta, nu, gamma, sigma, max_iter)
        owner = assign_rest(owner, smooth, colors)[None]
        min_size = int(height * width / count / 16)
        enforced = connectivity.enforce(owner, colors, min_size) if enforce_connectivity else None
        labels = (connectivity.number_clusters(owner) if enforced is None else enforced)[0]
    result = (labels + start_label).astype(np.int32)
    if not return_stats:
        return result
    return result, superpixel_stats(result, image, start_label=start_label, channel_axis=channel_axis)


def _flow(
    planes: Floats,
    n_segments: int,
    alpha: float,
    beta: float,
    nu: float,
    gamma: float,
    sigma: float | None,
    max_iter: int,
) -> tuple[Ints, int, Floats]:
    """The region of each pixel, or -1; how many regions there are; their mean colours [count, C]."""
    height, width = planes.shape[1:]
    side = math.sqrt(height * width / n_segments)
    phi = affinity(planes, min(0.8 * side if sigma is None else sigma, 1e6), gamma, nu)
    seeds = place_seeds(phi, *seed_grid(height, width, n_segments))
    psi, owner = start((height, width), seeds, min(1.5, side / 4))
    seeded = np.zeros(psi.shape, np.bool_)
    seeded[tuple(np.transpose(seeds))] = True
    before, still = 0, seeded
    for i in range(max_iter):
        if i % EVERY == 0:
            area = int((psi < 0).sum())
            if i > 0 and 2 * area > psi.size and (area - before) < EVERY * GROWTH * psi.size:
                break
            before, still = area, skeleton(psi) | seeded
        psi, owner = evolve(psi, owner, velocity(psi, phi, still, min(alpha, 1e6), min(beta, 1e6)))
    owner = np.where(psi < 0, owner, -1)
    return owner, len(seeds), mean_colors(planes, owner, len(seeds))
