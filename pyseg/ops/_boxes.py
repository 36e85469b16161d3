"""What the ops on boxes share: checks of arguments, and errors of the torch library as ValueError."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyseg._check import integer

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["check_dense", "contiguous", "errors_of", "floating", "pair"]

_MOST = 2**31 - 1


def pair(op: str, name: str, value: Any, low: int) -> tuple[int, int]:
    """(height, width) from two integers, or from one for both."""
    if isinstance(value, (str, bytes)) or (hasattr(value, "__len__") and len(value) != 2):
        raise ValueError(f"{op}: {name} must be an integer or (height, width), got {value!r}")
    if hasattr(value, "__len__"):
        height, width = value
        return _size(op, name, height, low), _size(op, name, width, low)
    size = _size(op, name, value, low)
    return size, size


def _size(op: str, name: str, value: Any, low: int) -> int:
    if type(value).__name__ == "SymInt":  # of a traced shape
        return value  # type: ignore[no-any-return]
    return integer(op, name, value, low, _MOST)


def check_dense(op: str, name: str, x: Any) -> None:
    """TypeError unless ``x`` is a tensor with values in memory."""
    import torch

    if not isinstance(x, torch.Tensor):
        raise TypeError(f"{op}: {name} must be a tensor as the others, got {type(x).__name__}")
    if x.layout != torch.strided or x.device.type == "meta":
        raise TypeError(f"{op}: {name} must be a dense tensor with values, got {x.layout} on {x.device}")


def floating(op: str, name: str, x: Tensor) -> None:
    """TypeError unless ``x`` is of a floating-point type that has two bytes or more."""
    import torch

    if x.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        raise TypeError(f"{op}: {name} must be float16, bfloat16, float32 or float64, got {x.dtype}")


def contiguous(op: str, name: str, x: NDArray[Any], dtype: Any = None) -> NDArray[Any]:
    """``x`` in C order and aligned, as ``dtype``. TypeError where it is not floating point."""
    if x.dtype.name not in ("float16", "float32", "float64"):
        raise TypeError(f"{op}: {name} must be float16, float32 or float64, got {x.dtype}")
    with np.errstate(over="ignore"):  # beyond float32 is infinite
        return np.require(x, dtype or x.dtype, ["C_CONTIGUOUS", "ALIGNED"])


@contextlib.contextmanager
def errors_of(op: str) -> Iterator[None]:
    """Some versions of torch pass std::invalid_argument as a RuntimeError: as ValueError, with the op's words alone."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        message = str(error).partition("\n")[0]
        if message.startswith(f"{op}: "):
            raise ValueError(message) from None
        raise
