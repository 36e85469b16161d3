"""Connected components of a cluster map, and the absorption of small ones: the last step of SLIC."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Place = tuple[int, ...]  # z, y, x


def _neighbours(place: Place, shape: tuple[int, ...]) -> Iterator[Place]:
    """The 4 (in a volume 6) pixels beside a pixel."""
    for axis in range(3):
        for step in (-1, 1):
            beside = list(place)
            beside[axis] += step
            if 0 <= beside[axis] < shape[axis]:
                yield tuple(beside)


def components(clusters: Ints) -> Ints:
    """Components of equal cluster, 4-connected (6-connected in a volume), numbered by first pixel in raster order.

    Args:
        clusters: [D, H, W]; negative outside of the mask.

    Returns:
        [D, H, W], -1 outside.
    """
    ids = np.full(clusters.shape, -1, np.int64)
    count = 0
    for start in np.ndindex(*clusters.shape):
        if clusters[start] < 0 or ids[start] >= 0:
            continue
        ids[start] = count
        queue = deque([start])
        while queue:
            for beside in _neighbours(queue.popleft(), clusters.shape):
                if ids[beside] < 0 and clusters[beside] == clusters[start]:
                    ids[beside] = count
                    queue.append(beside)
        count += 1
    return ids


def touching(ids: Ints) -> list[set[int]]:
    """For each component the components that have a pixel beside one of its pixels."""
    touches: list[set[int]] = [set() for _ in range(int(ids.max()) + 1)]
    for axis in range(3):
        before = np.delete(ids, -1, axis).ravel()
        after = np.delete(ids, 0, axis).ravel()
        for a, b in zip(before.tolist(), after.tolist(), strict=True):
            if a != b and a >= 0 and b >= 0:
                touches[a].add(b)
                touches[b].add(a)
    return touches


def _distance(colors: NDArray[Any], a: int, b: int) -> float:
    """L1 of two clusters' colours, added up channel by channel in the colours' own type."""
    total = colors.dtype.type(0)
    for c in range(colors.shape[1]):
        total += abs(colors[a, c] - colors[b, c])
    return float(total)


def _largest_of_groups(ids: list[int], touches: list[set[int]], size: Ints) -> list[int]:
    """Of each connected group of the given components, the largest (ties: the first)."""
    left, largest = set(ids), []
    while left:
        group, queue = set(), deque([left.pop()])
        while queue:
            group.add(i := queue.popleft())
            queue.extend(beside := touches[i] & left)
            left -= beside
        largest.append(max(group, key=lambda i: (size[i], -i)))
    return largest


def owners(ids: Ints, cluster: Ints, colors: NDArray[Any], min_size: int) -> list[int]:
    """For each component the kept component that it belongs to in the end: itself where it is kept.

    A component of fewer than ``min_size`` pixels is small. Round by round, every small component that touches a kept or
    already absorbed one joins the superpixel whose cluster's colour is nearest to its own cluster's; ties: the lower
    cluster, then the first pixel. Where nothing is left to join, each connected group of small components (an island of
    the mask) keeps its largest.
    """
    size, touches, of = np.bincount(ids[ids >= 0]), touching(ids), cluster.tolist()
    owner: dict[int, int] = {i: i for i in range(len(size)) if size[i] >= min_size}
    while len(owner) < len(size):
        small = [i for i in range(len(size)) if i not in owner]
        joined = {}
        for i in small:
            offers = {owner[j] for j in touches[i] if j in owner}
            ranked = [(_distance(colors, of[i], of[k]), of[k], k) for k in offers]
            if ranked:
                joined[i] = min(ranked)[2]
        owner.update(joined or {i: i for i in _largest_of_groups(small, touches, size)})
    return [owner[i] for i in range(len(size))]


def enforce(clusters: Ints, colors: NDArray[Any], min_size: int) -> Ints:
    """Superpixels from clusters: each one component, numbered 0, 1, ... by cluster, then by first pixel; -1 outside.

    Args:
        clusters: [D, H, W]; negative outside of the mask.
        colors: [K, C] of the clusters: float32, or integers wide enough for sums.
        min_size: components of fewer pixels are absorbed, see :func:`owners`.
    """
    ids = components(clusters)
    first = np.unique(ids[ids >= 0], return_index=True)[1]
    cluster = clusters[ids >= 0][first]
    owner = owners(ids, cluster, colors, min_size)
    kept = sorted(set(owner), key=lambda i: (cluster[i], i))
    number = {i: n for n, i in enumerate(kept)}
    return np.array([number[o] for o in owner] + [-1])[ids]  # id -1 is the last entry


def number_clusters(clusters: Ints) -> Ints:
    """Clusters that have a pixel, numbered 0, 1, ... in order; -1 outside."""
    present = np.unique(clusters[clusters >= 0])
    return np.where(clusters >= 0, np.searchsorted(present, clusters), -1)
