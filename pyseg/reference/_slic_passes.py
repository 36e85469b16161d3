"""SLIC's search and its passes: which centres a pixel is compared to, and in what order things happen."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class Clusters(Protocol):
    """K centres over an image; what the two arithmetics (bytes, float32) have in common."""

    inside: NDArray[np.bool_]  # [D, H, W]
    tile: int  # side of a tile in pixels
    unit: int  # positions are in 1 / unit pixel
    at: NDArray[Any]  # [K, 3] z, y, x
    reach: NDArray[Any]  # [3] z, y, x: half of the search window, S

    def distance(self, z: int, ys: Ints, xs: Ints, near: Ints) -> NDArray[Any]:
        """[rows, columns, candidates]: of pixels in rows ``ys``, columns ``xs`` of slice z to the centres ``near``."""
        ...

    def update(self, nearest: Ints) -> float:
        """Moves the centres to the means of their pixels; returns by how much in all, in pixels."""
        ...


def candidates(at: NDArray[Any], reach: NDArray[Any], first: NDArray[Any], last: NDArray[Any]) -> Ints:
    """The centres whose window (+-reach along each axis) touches the tile from its ``first`` to its ``last`` pixel.

    Where there is none, the window doubles until there is.
    """
    while True:
        touches = (at + reach >= first) & (at - reach <= last)
        near = np.flatnonzero(touches.all(axis=1))
        if len(near) > 0:
            return near
        reach = reach + reach


def assign(clusters: Clusters, phase: int | None = None) -> Ints:
    """[D, H, W]: the nearest candidate of each pixel (ties: the first); -1 outside the mask and where not looked at.

    With a phase only the pixels with (y - x) mod 4 = phase are looked at: a quarter of every row and column. A tile
    lies in one slice, and counts in full for the search, also where the image's border cuts it.
    """
    depth, height, width = clusters.inside.shape
    tile, kind = clusters.tile, clusters.at.dtype.type
    nearest = np.full(clusters.inside.shape, -1, np.int64)
    for z, ty, tx in np.ndindex(depth, -(-height // tile), -(-width // tile)):
        ys, xs = (np.arange(t * tile, min(t * tile + tile, size)) for t, size in ((ty, height), (tx, width)))
        if not clusters.inside[z, ys[:, None], xs].any():
            continue
        first = np.array([z, ty * tile, tx * tile]) * clusters.unit
        last = first + np.array([0, tile - 1, tile - 1]) * clusters.unit
        near = candidates(clusters.at, clusters.reach, first.astype(kind), last.astype(kind))
        nearest[z, ys[:, None], xs] = near[np.argmin(clusters.distance(z, ys, xs, near), axis=-1)]
    nearest[~clusters.inside] = -1
    if phase is not None:
        y, x = np.indices((height, width))
        nearest[:, (y - x) % 4 != phase] = -1
    return nearest


def is_sampled(interval: float, tol: float | None) -> bool:
    """Whether passes look at a quarter of the pixels: of superpixels of at least 10 pixels across, without ``tol``."""
    return interval >= 10 and tol is None


def iterate(clusters: Clusters, passes: int, sampled: bool, tol: float | None) -> None:
    """Assignment and update, at most ``passes`` times; until the centres move no more than ``tol`` pixels on average.

    The phases of sampled passes are 0, 2, 1, 3, 0, ...
    """
    for i in range(passes):
        moved = clusters.update(assign(clusters, (0, 2, 1, 3)[i % 4] if sampled else None))
        if tol is not None and moved <= tol * len(clusters.at):
            break
