"""Where an object may be: a box or a contour as a map of pixels and as a prior over positions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Box", "Contour", "Region"]

Floats = NDArray[np.float64]
MOST_CORNERS = 256  # of a contour as a prior, which is rough anyway


@dataclass(frozen=True)
class Box:
    """(x0, y0, x1, y1), the ends excluded: nothing of the object is outside."""

    x0: float
    y0: float
    x1: float
    y1: float

    def inside(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """bool [H, W]: the pixels that the box touches."""
        out = np.zeros(shape, bool)
        out[int(self.y0) : int(np.ceil(self.y1)), int(self.x0) : int(np.ceil(self.x1))] = True
        return out

    def radius(self, points: Floats) -> Floats:
        """[N] of points [N, 2] (x, y): 0 at the centre, 1 on the ellipse in the box, 1.4 at its corners."""
        center = np.array([self.x0 + self.x1 - 1, self.y0 + self.y1 - 1]) / 2
        half = np.array([self.x1 - self.x0, self.y1 - self.y0]) / 2
        x, y = ((points - center) / half).T
        result: Floats = np.sqrt(x * x + y * y)
        return result

    def away(self, points: Floats) -> Floats:
        """[N] distance from the box in units of its size; 0 inside."""
        over_x = np.maximum(np.maximum(self.x0 - points[:, 0], points[:, 0] - self.x1), 0)
        over_y = np.maximum(np.maximum(self.y0 - points[:, 1], points[:, 1] - self.y1), 0)
        area = (self.x1 - self.x0) * (self.y1 - self.y0)
        result: Floats = np.sqrt((over_x * over_x + over_y * over_y) / area)
        return result


@dataclass(frozen=True)
class Contour:
    """A polygon [N, 2] (x, y) drawn roughly around the object."""

    polygon: Floats

    def inside(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """bool [H, W] by the even-odd rule, at the pixels' centres."""
        height, width = shape
        turns = np.zeros((height, width + 1), np.int32)
        for (ax, ay), (bx, by) in zip(self.polygon, np.roll(self.polygon, -1, 0), strict=True):
            if ay == by:
                continue
            (ax, ay), (bx, by) = sorted([(ax, ay), (bx, by)], key=lambda p: p[1])
            rows = np.arange(int(np.clip(np.ceil(ay), 0, height)), int(np.clip(np.ceil(by), 0, height)))
            at = np.clip(np.ceil(ax + (rows - ay) * ((bx - ax) / (by - ay))), 0, width).astype(np.int64)
            turns[rows, at] += 1
        out: NDArray[np.bool_] = np.cumsum(turns, axis=1)[:, :width] % 2 == 1
        return out

    def _signed(self, points: Floats) -> Floats:
        """[N] distance to the polygon's line, negative outside."""
        nearest = np.full(len(points), np.inf)
        odd = np.zeros(len(points), bool)
        x, y = points.T
        polygon = self.polygon[:: -(-len(self.polygon) // MOST_CORNERS)]
        for (ax, ay), (bx, by) in zip(polygon, np.roll(polygon, -1, 0), strict=True):
            dx, dy = bx - ax, by - ay
            along = np.clip(((x - ax) * dx + (y - ay) * dy) / max(dx * dx + dy * dy, 1e-12), 0, 1)
            nearest = np.minimum(nearest, (x - ax - along * dx) ** 2 + (y - ay - along * dy) ** 2)
            if ay != by:
                odd ^= ((ay > y) != (by > y)) & (x < ax + (y - ay) * (dx / dy))
        distance = np.sqrt(nearest)
        result: Floats = np.where(odd, distance, -distance)
        return result

    def radius(self, points: Floats) -> Floats:
        """[N]: 0 at the point deepest inside, 1 on the line, more outside."""
        signed = self._signed(points)
        result: Floats = 1 - signed / max(float(signed.max()), 1.0)
        return result

    def away(self, points: Floats) -> Floats:
        size = np.sqrt(max(float(np.prod(np.ptp(self.polygon, axis=0))), 1.0))
        result: Floats = np.maximum(-self._signed(points), 0) / size
        return result


Region = Box | Contour
