"""SLIC's arithmetic on bytes: integers throughout."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyseg.reference._slic_seeds import lowest_gradient, nearest_int
from pyseg.reference.lab import lab_bytes

Ints = NDArray[np.int64]

SUB = 16  # positions are in 1/16 pixel


def _binomial(planes: Ints, axis: int) -> Ints:
    """(1 2 1) / 4 along one axis, the border's values repeated: the mean of two neighbours, then of that and the pixel.

    Each mean is rounded up.
    """
    last = planes.shape[axis] - 1
    before = np.take(planes, np.maximum(np.arange(last + 1) - 1, 0), axis)
    after = np.take(planes, np.minimum(np.arange(last + 1) + 1, last), axis)
    mean: Ints = ((before + after + 1) // 2 + planes + 1) // 2
    return mean


def byte_planes(image: NDArray[np.uint8], to_lab: bool, binomial: bool) -> Ints:
    """uint8 [1, H, W, C], C <= 3 -> [1, H, W, 3] of 0..255: L, a, b at twice their value, a and b about 128.

    Without CIELAB 0..255 becomes 0..200, as L's 0..100; channels that are not there are 0. Smoothed last: x, then y.
    """
    planes = np.zeros((*image.shape[:3], 3), np.int64)
    if to_lab:
        planes[:] = lab_bytes(image)
    else:
        planes[..., : image.shape[3]] = (image.astype(np.int64) * 200 + 127) // 255
    return _binomial(_binomial(planes, 2), 1) if binomial else planes


class ByteClusters:
    """Distance of pixel p to centre c:

        min(255, |L - l| + |a - a'| + |b - b'| + sx + sy),   sx = min(255, |16 x - cx| * W >> 16)

    with W = 2 compactness / S in 1/65536 for each 1/16 pixel: bytes hold colours at twice their value.
    """

    unit = SUB

    def __init__(self, planes: Ints, interval: float, compactness: float) -> None:
        self.planes = planes
        self.inside = np.ones(planes.shape[:3], np.bool_)
        self.tile = 8 if interval < 10 else 16
        reach = nearest_int(SUB * interval)
        self.reach = np.array([0, reach, reach])
        self.weight = nearest_int(2.0 * compactness / interval * 65536.0 / SUB)
        self.at = np.zeros((0, 3), np.int64)
        self.colors = np.zeros((0, 3), np.int64)

    def seed(self, counts: list[int]) -> None:
        """The grid's cells' middles, rounded down to 1/16 pixel, moved to the lowest gradient in 3x3."""
        _, height, width, _ = self.planes.shape
        at, colors = [], []
        for j in range(counts[1]):
            for i in range(counts[2]):
                cy = (2 * j + 1) * height * SUB // (2 * counts[1]) - SUB // 2
                cx = (2 * i + 1) * width * SUB // (2 * counts[2]) - SUB // 2
                y, x = (cy + SUB // 2) // SUB, (cx + SUB // 2) // SUB
                dy, dx = lowest_gradient(self.planes, 0, y, x)
                at.append([0, cy + SUB * dy, cx + SUB * dx])
                colors.append(self.planes[0, y + dy, x + dx])
        self.at, self.colors = np.array(at), np.array(colors)

    def warm_start(self, centers: NDArray[np.float64], to_lab: bool) -> None:
        """centers: [K, 3] z, y, x in pixels, or [K, 3 + C] with colours: CIELAB, or 0 to 100."""
        _, height, width, _ = self.planes.shape
        at, colors = [], []
        for row in centers.tolist():
            y, x = min(max(row[1], 0.0), height - 1.0), min(max(row[2], 0.0), width - 1.0)
            color = self.planes[0, nearest_int(y), nearest_int(x)].copy()
            for c, value in enumerate(row[3:]):
                zero = 128.0 if to_lab and c > 0 else 0.0
                color[c] = nearest_int(min(max(2.0 * value + zero, 0.0), 255.0))
            at.append([0, nearest_int(y * SUB), nearest_int(x * SUB)])
            colors.append(color)
        self.at, self.colors = np.array(at), np.array(colors)

    def distance(self, z: int, ys: Ints, xs: Ints, near: Ints) -> Ints:
        """[rows, columns, candidates]"""
        pixels = self.planes[z, ys[:, None], xs]
        color = np.abs(pixels[:, :, None] - self.colors[near]).sum(axis=-1)
        sy = np.minimum(255, np.abs(SUB * ys[:, None] - self.at[near, 1]) * self.weight >> 16)
        sx = np.minimum(255, np.abs(SUB * xs[:, None] - self.at[near, 2]) * self.weight >> 16)
        distance: Ints = np.minimum(255, color + sx + sy[:, None])
        return distance

    def update(self, nearest: Ints) -> float:
        """Means are rounded half up; a centre without pixels stays. Movement: |dx| + |dy|."""
        moved = 0
        for k in np.unique(nearest[nearest >= 0]):
            own = np.argwhere(nearest == k)
            n = len(own)
            at = (2 * SUB * own.sum(axis=0) + n) // (2 * n)
            moved += int(np.abs(at - self.at[k]).sum())
            self.at[k] = at
            self.colors[k] = (2 * self.planes[nearest == k].sum(axis=0) + n) // (2 * n)
        return moved / SUB
