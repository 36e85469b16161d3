"""Values of any dtype as scikit-image sees them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def as_float(values: NDArray[Any]) -> NDArray[Any]:
    """scikit-image's ``img_as_float``, in float32 or float64: unsigned integers to [0, 1], signed ones to [-1, 1]."""
    kind, bits = values.dtype.kind, 8 * values.dtype.itemsize
    if kind == "f":
        return values.astype(np.float32 if bits <= 32 else np.float64)
    if kind == "b":
        return values.astype(np.float64)
    scaled: NDArray[Any] = np.multiply(values, 1.0 / np.iinfo(values.dtype).max, dtype=np.float64)
    np.maximum(scaled, -1.0, out=scaled)
    return scaled
