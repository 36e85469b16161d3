"""The permutohedral lattice: Gaussian filters in many dimensions (Adams, Baek, Davis, Eurographics 2010)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyseg import _runtime
from pyseg._arrays import Array, is_torch, to_numpy
from pyseg._check import flag

__all__ = ["PermutohedralLattice"]

NORMALIZATIONS = {None: 0, "none": 0, "symmetric": 1, "before": 2, "after": 3}
MOST_DIMS = 16
_OP = "PermutohedralLattice"


def normalization_code(op: str, value: Any) -> int:
    """What the libraries call a normalisation."""
    try:
        return NORMALIZATIONS[value]
    except (KeyError, TypeError):
        raise ValueError(f"{op}: normalization must be None, 'symmetric', 'before' or 'after', got {value!r}") from None


class PermutohedralLattice:
    """A plan for Gaussian filters over the same points: built once, then filters any number of channels.

        out_i = sum_j exp(-|f_i - f_j|^2 / 2) in_j

    approximately: each point gives its value to the d + 1 vertices of the simplex that it lies in, these are blurred
    along the d + 1 axes of the lattice, and the point reads from its vertices again. The sum's scale is about the
    exact one's (12 % below it in two dimensions, 50 % in five); a normalisation makes up for that.

    Args:
        features: [N, d] float32 or float64 (other types are converted to float32), divided by their standard
            deviations; 1 <= d <= 16. NumPy, CuPy, torch, or anything with ``__dlpack__``.

    Attributes:
        n_points, n_features: N and d.
        n_vertices: vertices of the lattice that are in use; the cost of a blur.

    Raises:
        ValueError: features that are not [N, d], empty, not finite, or too far from 0 for their type to tell simplices
            apart (a coordinate of the lattice of 2^20 or more in float32).
        TypeError: not numbers, not an array.

    torch tensors are filtered on the CPU and given back on their device; autograd goes through values and features.
    """

    def __init__(self, features: Array) -> None:
        array, _ = to_numpy(_OP, "features", features)
        if array.ndim != 2 or 0 in array.shape:
            raise ValueError(f"{_OP}: features must be [N, d] and not empty, got {list(array.shape)}")
        if array.dtype.kind not in "fiu":
            raise TypeError(f"{_OP}: features must be numbers, got {array.dtype}")
        if array.shape[1] > MOST_DIMS:
            raise ValueError(f"{_OP}: features must have 1 .. {MOST_DIMS} dimensions, got {array.shape[1]}")
        if array.shape[0] * (array.shape[1] + 1) >= 2**31:
            raise ValueError(f"{_OP}: features must be fewer than 2^31 / (d + 1) points, got {list(array.shape)}")
        self._dtype = np.dtype(np.float64 if array.dtype == np.float64 else np.float32)
        kind = _runtime.native().Lattice64 if self._dtype == np.float64 else _runtime.native().Lattice32
        self._plan = kind(np.ascontiguousarray(array, self._dtype))
        self._features = features if is_torch(features) and features.requires_grad else None

    n_points = property(lambda self: int(self._plan.points))
    n_features = property(lambda self: int(self._plan.dims))
    n_vertices = property(lambda self: int(self._plan.vertices))

    def __repr__(self) -> str:
        return f"PermutohedralLattice({self.n_points} points, {self.n_features} features, {self.n_vertices} vertices)"

    def filter(self, values: Array, *, normalization: str | None = None, transpose: bool = False) -> Array:
        """The Gaussian filter of ``values``.

        Args:
            values: [N] or [N, C], any C. Computed in the features' type.
            normalization: with n = the filter of ones: "before" divides the values by n, "after" the result,
                "symmetric" both by its square root; None leaves the sums as they are.
            transpose: the exact adjoint: the lattice's filter is not quite symmetric.

        Returns:
            The filtered values, of the values' shape and kind, in the features' type.

        Raises:
            ValueError: another number of points, an unknown normalization.
        """
        code = normalization_code(_OP, normalization)
        backwards = flag(_OP, "transpose", transpose)
        if is_torch(values):
            return self._filter_tensor(values, normalization, code, backwards)
        array, back = to_numpy(_OP, "values", values)
        return back(self._run(array, code, backwards))

    def _run(self, array: NDArray[Any], code: int, transpose: bool) -> NDArray[Any]:
        if array.ndim not in (1, 2) or array.shape[0] != self.n_points:
            shape = list(array.shape)
            raise ValueError(f"{_OP}: values must be [{self.n_points}] or [{self.n_points}, C], got {shape}")
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{_OP}: values must be numbers, got {array.dtype}")
        if array.size >= 2**34:
            raise ValueError(f"{_OP}: values must be fewer than 2^34, got {list(array.shape)}")
        matrix = np.ascontiguousarray(array.reshape(self.n_points, -1), self._dtype)
        result: NDArray[Any] = self._plan.filter(matrix, code, transpose)
        return result.reshape(array.shape)

    def _filter_tensor(self, values: Any, normalization: str | None, code: int, transpose: bool) -> Any:
        import torch

        features = self._features
        wanted = torch.is_grad_enabled() and (values.requires_grad or features is not None)
        if not wanted:
            array, back = to_numpy(_OP, "values", values)
            return back(self._run(array, code, transpose))
        from pyseg.ops._lattice_autograd import filter_tensor

        def raw(x: Any, adjoint: bool) -> Any:
            return filter_tensor(self._run, self._plan.feature_gradient, x, features, adjoint)

        if code == 0:
            return raw(values, transpose)
        # n depends on the features too, so that it takes part in the gradient.
        ones = torch.ones(self.n_points, dtype=values.dtype, device=values.device)
        n = raw(ones, False) + 1e-20
        n = n.reshape([-1] + [1] * (values.dim() - 1))
        factor = n.rsqrt() if normalization == "symmetric" else 1 / n
        before = normalization == "symmetric" or (normalization == "before") != transpose
        after = normalization == "symmetric" or (normalization == "after") != transpose
        result = raw(values * factor if before else values, transpose)
        return result * factor if after else result
