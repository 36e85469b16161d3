"""The definition of ``pyseg.PermutohedralLattice`` in plain torch: slow, and differentiable in values and features.

A Gaussian filter of N points in d dimensions, ``out_i = sum_j exp(-|f_i - f_j|^2 / 2) values_j``, costs N^2. On the
permutohedral lattice (Adams, Baek, Davis, "Fast High-Dimensional Filtering Using the Permutohedral Lattice",
Eurographics 2010) it costs (d + 1)^2 N, and is nearly that sum:

1. **Elevate.** Features go to the hyperplane of R^(d+1) whose coordinates sum to 0 (paper, section 3.1), scaled by
   (2/3)^(1/2) (d + 1), the deviation of steps 3 and 4 together. The lattice is the points of the hyperplane whose
   coordinates are integers, all of one remainder r modulo d + 1. Its Delaunay cells are simplices with one vertex of
   each remainder.
2. **Simplex.** Each coordinate is rounded to the nearest multiple of d + 1 (halves to the even multiple); coordinates
   are ranked by what is left, greatest first, of equal ones the later first; where the multiples do not sum to 0, the
   ranks turn until they do. Rank and remainder give the d + 1 vertices (section 3.2).
3. **Splat.** A value goes to the vertices of its simplex by barycentric weights; **slice**: a result is read from them
   by the same weights, times 1 / (1 + 2^-d).
4. **Blur.** [1/2 1 1/2] along each of the d + 1 axes in turn, 0 to d. A vertex has a neighbour where the lattice has
   one, i.e. where it belongs to some point's simplex; an absent one counts as 0. Backwards, d to 0, is the transpose.

The order of blurs matters, since vertices are missing: the kernel K = slice . blur . splat is not quite symmetric.
Ties matter too: they change no weight, but which vertices exist.

Within a simplex weights are linear in the features, and that is the gradient here: Krähenbühl & Koltun, "Parameter
Learning and Convergent Inference for Dense Random Fields", ICML 2013. At the simplices' faces it jumps.

:class:`BruteForce` is the sum itself, for accuracy.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["BruteForce", "PermutohedralLattice"]

_LEAST = 1e-20  # added to row sums before they divide


class _Filter:
    """A kernel matrix K of N points, with the normalisations of Krähenbühl & Koltun."""

    n_points: int
    n_features: int
    dtype: Any

    def apply(self, values: Tensor, transpose: bool = False) -> Tensor:
        """K values, or its transpose: [N, C] to [N, C]."""
        raise NotImplementedError

    def row_sums(self) -> Tensor:
        """K 1: [N]."""
        return self.apply(self._tensor([[1.0]]).expand(self.n_points, 1))[:, 0]

    def _tensor(self, values: Any) -> Tensor:
        import torch

        return torch.as_tensor(values, dtype=self.dtype)

    def filter(self, values: Any, normalization: str | None = None, transpose: bool = False) -> Tensor:
        """The normalised kernel, times values.

        With D the diagonal of K's row sums + 1e-20:

        * None: K,
        * "symmetric": D^(-1/2) K D^(-1/2),
        * "before": K D^-1,
        * "after": D^-1 K, a weighted mean.

        Args:
            values: [N, C] or [N].
            normalization: None, "symmetric", "before" or "after".
            transpose: of the normalised matrix.

        Returns:
            As ``values``, in the features' dtype.
        """
        values = self._tensor(values)
        x = values.reshape(self.n_points, -1)
        if normalization is not None:
            norm = (self.row_sums() + _LEAST)[:, None]
            norm = 1 / norm.sqrt() if normalization == "symmetric" else 1 / norm
        if normalization == "symmetric" or normalization == ("after" if transpose else "before"):
            x = x * norm
        x = self.apply(x, transpose)
        if normalization == "symmetric" or normalization == ("before" if transpose else "after"):
            x = x * norm
        return x.reshape(values.shape)


class PermutohedralLattice(_Filter):
    """The lattice of N points.

    Args:
        features: [N, d] positions, in units of the Gaussian's deviation: already divided by the sigmas. Floats; all is
            computed in their type.

    Attributes:
        weights: [N, d + 1] barycentric, of the vertex of remainder 0, 1, ..., d. Differentiable in the features.
        vertices: int64 [N, d + 1], which vertex that is.
        keys: int64 [M, d] the vertices' first d coordinates, in lexicographic order.
        neighbors: int64 [d + 1, 2, M] the vertex before and after each along each axis; M for an absent one.
    """

    def __init__(self, features: Any) -> None:
        import torch

        features = torch.as_tensor(features)
        self.dtype = features.dtype
        self.n_points, self.n_features = features.shape
        elevated = elevate(features)
        multiples, rank = nearest_simplex(elevated.detach())
        self.weights = _barycentric(elevated, multiples, rank)
        keys = _vertex_keys(multiples, rank)
        self.keys, number = torch.unique(keys.reshape(-1, self.n_features), dim=0, return_inverse=True)
        self.vertices = number.reshape(self.n_points, self.n_features + 1)
        self.n_vertices = len(self.keys)
        self.neighbors = _neighbors(self.keys)

    def splat(self, values: Tensor) -> Tensor:
        """[N, C] to [M, C]."""
        spread = self.weights[:, :, None] * values[:, None, :]
        at_vertices = values.new_zeros(self.n_vertices, values.shape[1])
        return at_vertices.index_add(0, self.vertices.reshape(-1), spread.reshape(-1, values.shape[1]))

    def blur(self, at_vertices: Tensor, transpose: bool = False) -> Tensor:
        """[M, C] to [M, C]."""
        import torch

        nothing = at_vertices.new_zeros(1, at_vertices.shape[1])
        for before, after in self.neighbors.flip(0) if transpose else self.neighbors:
            padded = torch.cat([at_vertices, nothing])
            at_vertices = at_vertices + 0.5 * (padded.index_select(0, before) + padded.index_select(0, after))
        return at_vertices

    def slice(self, at_vertices: Tensor) -> Tensor:
        """[M, C] to [N, C]."""
        read = at_vertices.index_select(0, self.vertices.reshape(-1)).reshape(*self.vertices.shape, -1)
        return (self.weights[:, :, None] * read).sum(1) / (1 + 2.0**-self.n_features)

    def apply(self, values: Tensor, transpose: bool = False) -> Tensor:
        """slice . blur . splat, without normalisation: [N, C] to [N, C]."""
        return self.slice(self.blur(self.splat(values), transpose))


def elevate(features: Tensor) -> Tensor:
    """[N, d] to [N, d + 1], rows of sum 0: feature j goes to coordinates 0 .. j equally, and comes back from j + 1."""
    import torch

    d = features.shape[1]
    deviation = features.new_tensor(math.sqrt(2 / 3) * (d + 1)).item()  # in the features' type: near ties turn on it
    total = features.new_zeros(len(features))
    columns = []
    for j in range(d, 0, -1):
        scaled = features[:, j - 1] * (1 / math.sqrt(j * (j + 1)) * deviation)
        columns.append(total - j * scaled)
        total = total + scaled
    return torch.stack([total, *reversed(columns)], 1)


def nearest_simplex(elevated: Tensor) -> tuple[Tensor, Tensor]:
    """The simplex of each point [N, d + 1].

    Returns:
        its vertex of remainder 0, int64 [N, d + 1]: multiples of d + 1 that sum to 0; and the coordinates' ranks, int64
        [N, d + 1]: a permutation of 0 .. d.
    """
    d = elevated.shape[1] - 1
    quotient = (elevated * (1 / (d + 1))).round()
    left = elevated - quotient * (d + 1)
    rank = quotient.sum(1, keepdim=True).long().repeat(1, d + 1)
    for i in range(d + 1):
        for j in range(i + 1, d + 1):
            less = left[:, i] < left[:, j]
            rank[:, i] += less
            rank[:, j] += ~less
    turn = (rank < 0).long() - (rank > d).long()
    return (quotient.long() + turn) * (d + 1), rank + turn * (d + 1)


def _barycentric(elevated: Tensor, multiples: Tensor, rank: Tensor) -> Tensor:
    """[N, d + 1]: differences of what is left, in the order of ranks; the vertex of remainder 0 has the rest."""
    import torch

    d = elevated.shape[1] - 1
    left = (elevated - multiples) * (1 / (d + 1))
    by_rank = left.gather(1, rank.argsort(1))
    differences = by_rank[:, :-1] - by_rank[:, 1:]
    rest = by_rank[:, -1:] + (1 - by_rank[:, :1])
    return torch.cat([rest, differences.flip(1)], 1)


def _vertex_keys(multiples: Tensor, rank: Tensor) -> Tensor:
    """[N, d + 1, d]: the first d coordinates of a simplex's vertices, by remainder. The last is minus their sum."""
    d = multiples.shape[1] - 1
    remainder = rank.new_tensor(range(d + 1))[None, :, None]
    wraps = rank[:, None, :] > d - remainder
    return (multiples[:, None, :] + remainder - (d + 1) * wraps)[:, :, :d]


def _neighbors(keys: Tensor) -> Tensor:
    """[d + 1, 2, M]: along axis j, the vertex at -1 in all coordinates but j, where it is at +d; and the opposite."""
    import torch

    m, d = keys.shape
    absent = keys.new_full((d + 1, 2, m), m)
    for j in range(d + 1):
        step = keys.new_full((1, d), -1)
        step[:, j : j + 1] = d
        _, number = torch.unique(torch.cat([keys, keys + step]), dim=0, return_inverse=True)
        owner = keys.new_full((2 * m,), m)
        owner[number[:m]] = torch.arange(m)
        before = absent[j, 0] = owner[number[m:]]
        there = before < m
        absent[j, 1, before[there]] = torch.arange(m)[there]
    return absent


class BruteForce(_Filter):
    """The Gaussian kernel itself, each point with itself included; in memory, so that N of some thousands is the most.

    Args:
        features: [N, d], as of :class:`PermutohedralLattice`; any d.

    Attributes:
        matrix: [N, N], K_ij = exp(-|f_i - f_j|^2 / 2).
    """

    def __init__(self, features: Any) -> None:
        import torch

        features = torch.as_tensor(features)
        self.dtype = features.dtype
        self.n_points, self.n_features = features.shape
        distance: Tensor = features.new_zeros(self.n_points, self.n_points)
        for column in features.T:
            distance = distance + (column[:, None] - column).square()
        self.matrix = (-distance / 2).exp()

    def apply(self, values: Tensor, transpose: bool = False) -> Tensor:
        """K values: [N, C] to [N, C]. K is symmetric."""
        result: Tensor = self.matrix @ values
        return result
