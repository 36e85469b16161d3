"""max_pool and max_unpool of NumPy arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyseg import _runtime
from pyseg._arrays import to_numpy
from pyseg.ops._max_unpool_window import Target, Window

__all__ = ["pool", "unpool"]


def _five(array: NDArray[Any], dims: int) -> NDArray[Any]:
    """Contiguous [N, C, D, H, W]."""
    batched = array if array.ndim == dims + 2 else array[None]
    return np.ascontiguousarray(batched).reshape(*batched.shape[:2], *(1,) * (3 - dims), *batched.shape[2:])


def _floating(op: str, array: NDArray[Any]) -> None:
    if array.dtype.name not in ("float16", "float32", "float64"):
        raise TypeError(f"{op}: values must be float16, float32 or float64, got {array.dtype}")


def pool(op: str, x: NDArray[Any], w: Window, ceil_mode: bool, kind: int) -> tuple[NDArray[Any], NDArray[Any]]:
    _floating(op, x)
    dims = len(w.kernel)
    y, at = _runtime.native().max_pool(_five(x, dims), w.flat(3), ceil_mode, kind)
    shape = (*x.shape[: x.ndim - dims], *y.shape[5 - dims :])
    return y.reshape(shape), at.reshape(shape)


def unpool(y: NDArray[Any], codes: NDArray[Any], t: Target, out: Any, scale: Any, shift: Any) -> NDArray[Any]:
    _floating(t.op, y)
    dims = len(t.size)
    shape = (*y.shape[: y.ndim - dims], *t.size)
    count = math.prod(map(int, shape))
    if not 0 <= count < 2**58 or min(t.size) < 1:
        raise ValueError(f"{t.op}: the unpooled size must be positive and less than 2^58 values, got {list(shape)}")
    if out is not None:
        if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != y.dtype or not out.flags.c_contiguous:
            found = f"{list(out.shape)} {out.dtype}" if isinstance(out, np.ndarray) else type(out).__name__
            raise ValueError(f"{t.op}: out must be a contiguous array {list(shape)} of {y.dtype}, got {found}")
        if not out.flags.writeable:
            raise ValueError(f"{t.op}: out must be writeable, got a read-only array")
    result: NDArray[Any] = out if out is not None else _runtime.native().max_unpool_output(shape, y.dtype)
    channels = y.shape[y.ndim - dims - 1]
    affine: list[NDArray[np.float64] | None] = []
    for name, value in (("scale", scale), ("shift", shift)):
        if value is None:
            affine.append(None)
            continue
        values = to_numpy(t.op, name, value)[0]
        if values.dtype.kind not in "fiu":
            raise TypeError(f"{t.op}: {name} must be numbers, got {values.dtype}")
        if values.shape != (channels,):
            raise ValueError(f"{t.op}: {name} must be [{channels}], got {list(values.shape)}")
        affine.append(np.ascontiguousarray(values, np.float64))
    try:
        _runtime.native().max_spread(
            _five(y, dims), _five(codes, dims), t.window.flat(3), t.windowed, *affine, t.relu, _five(result, dims)
        )
    except (IndexError, ValueError) as error:
        raise type(error)(f"{t.op}: {str(error).partition(': ')[2]}") from None
    return result
