"""Where SLIC's centres start: the regular grid, the lowest gradient in 3x3, and the seeds inside a mask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def nearest_int(x: float) -> int:
    """Rounded half away from zero."""
    whole = math.floor(abs(x))
    return int(math.copysign(whole + (abs(x) - whole >= 0.5), x))


def seed_grid(shape: Sequence[int], n_segments: int, spacing: Sequence[float]) -> tuple[list[int], float]:
    """How many seeds along z, y, x, and the interval S in units of spacing: the largest of the grid's steps.

    Axis by axis: the step is the side of the square (cube) that each of the seeds still wanted has of the area (volume)
    of the axes still to come; the axis takes the nearest whole number of steps, and the rest of the seeds is left to
    the others. A single slice is a plane.
    """
    axes = [1, 2] if shape[0] == 1 else [0, 1, 2]
    size = [shape[d] * spacing[d] for d in range(3)]
    volume, wanted, counts = math.prod(size[d] for d in axes), float(n_segments), [1, 1, 1]
    for i, d in enumerate(axes):
        left = len(axes) - i
        n = size[d] / math.pow(volume / wanted, 1.0 / left) if left > 1 else wanted
        counts[d] = min(max(nearest_int(n), 1), shape[d])
        wanted = max(1.0, wanted / counts[d])
        volume /= size[d]
    return counts, max(size[d] / counts[d] for d in axes)


def lowest_gradient(image: NDArray[Any], z: int, y: int, x: int) -> tuple[int, int]:
    """(dy, dx) to the pixel of lowest gradient in 3x3 around (y, x) of slice z; (0, 0) within 2 of the border.

    Ties: (0, 0), so that seeds stay where the image is flat; then the first.

    Gradient: |right - left| + |lower - upper|, added up channel by channel. image: [D, H, W, C], signed or float32.
    """
    _, height, width, channels = image.shape
    if y < 2 or x < 2 or y + 2 >= height or x + 2 >= width:
        return 0, 0
    steps = sorted(((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)), key=lambda step: step != (0, 0))
    gradients = []
    for dy, dx in steps:
        total = image.dtype.type(0)
        for c in range(channels):
            total += abs(image[z, y + dy, x + dx + 1, c] - image[z, y + dy, x + dx - 1, c])
            total += abs(image[z, y + dy + 1, x + dx, c] - image[z, y + dy - 1, x + dx, c])
        gradients.append(total)
    finite = [g if g < math.inf else math.inf for g in gradients]  # NaN counts as infinite
    return steps[finite.index(min(finite))] if min(finite) < math.inf else (0, 0)


def grid_places(shape: Sequence[int], counts: Sequence[int]) -> list[tuple[float, float, float]]:
    """The middles of the grid's cells, z, y, x in pixels, in raster order: pixel 0 reaches from -0.5 to 0.5."""
    middles = [[((2 * i + 1) * size) / (2 * n) - 0.5 for i in range(n)] for size, n in zip(shape, counts, strict=True)]
    return [(z, y, x) for z in middles[0] for y in middles[1] for x in middles[2]]


def mask_places(inside: NDArray[np.bool_], count: int, sides: Sequence[float]) -> NDArray[np.float64]:
    """Up to ``count`` places inside a mask, [k, 3] z, y, x.

    The mask is cut into cells of the given sides; the ``count`` cells with most pixels inside (ties: the first) give
    the means of these pixels, in the cells' raster order.
    """
    cells: dict[tuple[int, ...], list[NDArray[np.int64]]] = {}
    number = [math.ceil(size / side) for size, side in zip(inside.shape, sides, strict=True)]
    for place in np.argwhere(inside):
        cell = tuple(min(n - 1, int(i / side)) for i, side, n in zip(place.tolist(), sides, number, strict=True))
        cells.setdefault(cell, []).append(place)
    fullest = sorted(sorted(cells), key=lambda cell: -len(cells[cell]))[:count]
    return np.array([np.sum(cells[cell], axis=0) / len(cells[cell]) for cell in sorted(fullest)])
