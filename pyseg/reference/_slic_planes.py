"""SLIC's arithmetic on float32 planes: any type, any number of channels, volumes, masks, SLICO, spacing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyseg.reference._slic_passes import iterate
from pyseg.reference._slic_seeds import grid_places, lowest_gradient, mask_places, nearest_int
from pyseg.reference.lab import lab_floats

f32 = np.float32
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def _gaussian(sigma: float) -> list[float]:
    """Cut off at 4 sigma; its sum is 1."""
    radius = int(min(4.0 * sigma + 0.5, 1e6))
    if radius == 0:
        return [1.0]
    bell = [math.exp(-0.5 * float(i * i) / (sigma * sigma)) for i in range(-radius, radius + 1)]
    total = 0.0
    for b in bell:
        total += b
    return [b / total for b in bell]


def _filter(image: Floats, axis: int, kernel: Sequence[float]) -> Floats:
    """Along one axis, the border's values repeated."""
    size, radius = image.shape[axis], len(kernel) // 2
    out = np.zeros_like(image)
    for j, weight in enumerate(kernel):
        beside = np.clip(np.arange(size) + j - radius, 0, size - 1)
        term = np.take(image, beside, axis) * f32(weight)
        out = term if j == 0 else out + term
    return out


def float_planes(image: NDArray[Any], inside: NDArray[np.bool_], sigma: Sequence[float] | None, to_lab: bool) -> Floats:
    """[D, H, W, C] of any type -> float32: CIELAB, or 0 to 100 for the range of an integer type, or of a float 0 to 1.

    Smoothed first, z, then y, then x: by Gaussians, or for None by (1 2 1) / 4. What lies outside of the mask has no
    weight there, and is black at the end.

    Raises:
        ValueError: NaN or infinity inside of the mask.
    """
    full = np.iinfo(image.dtype).max if image.dtype.kind == "u" else 1
    planes = image.astype(f32) * (f32(1) / f32(full))
    planes[~inside] = 0
    weight = inside[..., None].astype(f32)
    for axis in range(3):
        if image.shape[axis] > 1 and (sigma is None or sigma[axis] > 0):
            kernel = (0.25, 0.5, 0.25) if sigma is None else _gaussian(sigma[axis])
            planes, weight = _filter(planes, axis, kernel), _filter(weight, axis, kernel)
    if not inside.all():
        planes = planes / weight
        planes[~inside] = 0
    planes = lab_floats(planes) if to_lab else planes * f32(100)
    if not np.isfinite(planes).all():
        raise ValueError("slic: image must be finite")
    return planes


class PlaneClusters:
    """Distance of pixel p to centre k, in float32 and in this order:

        w_k (|p_0 - c_0| + |p_1 - c_1| + ...) + ((sz + sy) + sx),   sx = |x - cx| * W_x

    with W_x = compactness * spacing_x / S and w_k = 1. In SLICO the compactness in W is 1, and w_k is 1 / compactness
    at first, then 1 / the largest colour distance of the cluster's pixels in the pass before (at least 1).
    """

    tile = 16
    unit = 1

    def __init__(
        self,
        planes: Floats,
        inside: NDArray[np.bool_],
        interval: float,
        compactness: float,
        spacing: Sequence[float],
        slic_zero: bool,
    ) -> None:
        self.planes, self.inside, self.interval, self.spacing = planes, inside, interval, spacing
        self.adapts = slic_zero
        self.first_weight = f32(1.0 / compactness) if slic_zero else f32(1)
        self.reach = np.array([interval / s for s in spacing], f32)
        self.space = np.array([(1.0 if slic_zero else compactness) * s / interval for s in spacing], f32)
        # Sums of colours are of integers, in fixed point: 26 bits and a sign for the largest magnitude.
        largest = float(np.abs(planes).max())
        exponent = math.frexp(largest)[1] - 1 if largest > 0 else 25
        self.fixed = f32(math.ldexp(1.0, 25 - min(max(exponent, -100), 126)))
        self._start(np.zeros((0, 3)))

    def _start(self, at: NDArray[Any]) -> None:
        self.at = np.array(at, f32).reshape(-1, 3)
        self.colors = np.zeros((len(self.at), self.planes.shape[3]), f32)
        self.weight = np.full(len(self.at), self.first_weight)

    def seed(self, counts: Sequence[int]) -> None:
        """The grid's cells' middles, moved to the lowest gradient in 3x3."""
        at, colors = [], []
        for z, y, x in grid_places(self.inside.shape, counts):
            iz, iy, ix = nearest_int(z), nearest_int(y), nearest_int(x)
            dy, dx = lowest_gradient(self.planes, iz, iy, ix)
            at.append([z, y + dy, x + dx])
            colors.append(self.planes[iz, iy + dy, ix + dx])
        self._start(np.array(at))
        self.colors = np.array(colors)

    def seed_mask(self, count: int, tol: float | None) -> None:
        """The fullest cells of side S in the mask, spread by five passes in which colour has no weight."""
        self._start(mask_places(self.inside, count, [max(1.0, self.interval / s) for s in self.spacing]))
        adapts, self.adapts = self.adapts, False
        self.weight[:] = 0
        iterate(self, 5, False, tol)
        self.weight[:] = self.first_weight
        self.adapts = adapts

    def warm_start(self, centers: NDArray[np.float64]) -> None:
        """centers: [K, 3] z, y, x in pixels, or [K, 3 + C] with colours: CIELAB, or 0 to 100."""
        last = np.array(self.inside.shape) - 1
        self._start(np.clip(centers[:, :3], 0, last))
        for k, (z, y, x) in enumerate(self.at.tolist()):
            self.colors[k] = self.planes[nearest_int(z), nearest_int(y), nearest_int(x)]
        if centers.shape[1] > 3:
            self.colors = centers[:, 3:].astype(f32)

    def _color_distance(self, pixels: Floats, colors: Floats) -> Floats:
        total: Floats = np.abs(pixels[..., 0] - colors[..., 0])
        for c in range(1, pixels.shape[-1]):
            total = total + np.abs(pixels[..., c] - colors[..., c])
        return total

    def distance(self, z: int, ys: Ints, xs: Ints, near: Ints) -> Floats:
        """[rows, columns, candidates]"""
        at = self.at[near]
        pixels = self.planes[z, ys[:, None], xs]
        sz = np.abs(f32(z) - at[:, 0]) * self.space[0]
        sy = np.abs(ys[:, None].astype(f32) - at[:, 1]) * self.space[1]
        sx = np.abs(xs[:, None].astype(f32) - at[:, 2]) * self.space[2]
        color = self._color_distance(pixels[:, :, None], self.colors[near])
        distance: Floats = color * self.weight[near] + ((sz + sy)[:, None] + sx)
        return np.fmin(distance, f32(np.inf))  # NaN comes of values near the largest float, and is never the nearest

    def update(self, nearest: Ints) -> float:
        """A centre without pixels stays. Movement: |dz| + |dy| + |dx|."""
        moved = 0.0
        fixed = np.rint(self.planes * self.fixed).astype(np.int64)
        for k in np.unique(nearest[nearest >= 0]):
            own = nearest == k
            n = int(own.sum())
            if self.adapts:
                far = self._color_distance(self.planes[own], self.colors[k]).max()
                self.weight[k] = f32(1) / max(f32(1), far)
            at = (np.argwhere(own).sum(axis=0) / n).astype(f32)
            for d in range(3):
                moved += abs(float(at[d]) - float(self.at[k, d]))
            self.at[k] = at
            self.colors[k] = (fixed[own].sum(axis=0) / n / float(self.fixed)).astype(f32)
        return moved
