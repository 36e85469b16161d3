"""Which kind of array came in, without importing the library of any that did not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = Any  # NumPy, CuPy, torch, or anything with __dlpack__


def is_torch(x: Any) -> bool:
    """A torch tensor? Without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def is_cupy(x: Any) -> bool:
    """A CuPy array? Without importing CuPy."""
    return type(x).__module__.partition(".")[0] == "cupy"


def to_numpy(op: str, name: str, x: Any) -> tuple[NDArray[Any], Callable[[NDArray[Any]], Any]]:
    """``x`` as a NumPy array, without a copy where possible, and the way back to its kind for results.

    Raises:
        TypeError: ``x`` is no array (no NumPy array, no ``__dlpack__``, no ``__array_interface__``).
    """
    if isinstance(x, np.ndarray):
        array = np.asarray(x)
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        return array, lambda result: result
    if is_cupy(x):
        import cupy

        return cupy.asnumpy(x), cupy.asarray
    if is_torch(x):
        import torch

        if x.layout != torch.strided or x.device.type == "meta":
            raise TypeError(f"{op}: {name} must be a dense tensor with values, got {x.layout} on {x.device}")
        if x.dtype == torch.bfloat16:
            x = x.float()
        device = x.device
        return x.detach().cpu().numpy(), lambda result: torch.from_numpy(result).to(device)
    if hasattr(x, "__dlpack__"):
        array = np.from_dlpack(x)
        if hasattr(x, "__array_namespace__"):
            return array, x.__array_namespace__().asarray
        return array, lambda result: result
    if hasattr(x, "__array_interface__"):
        return np.asarray(x), lambda result: result
    raise TypeError(f"{op}: {name} must be a NumPy, CuPy or torch array, or have __dlpack__, got {type(x).__name__}")
