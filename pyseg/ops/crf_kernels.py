"""The pairwise terms of a dense CRF, and how arguments become what the libraries take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyseg._arrays import Array, is_torch, to_numpy
from pyseg._check import real
from pyseg.ops.permutohedral import normalization_code

__all__ = ["Bilateral", "Features", "Gaussian"]


@dataclass(frozen=True)
class Gaussian:
    """The smoothness kernel: exp(-|p_i - p_j|^2 / 2 sxy^2), p in pixels.

    Attributes:
        sxy: standard deviation in pixels: a number, or one an axis, (x, y) for images, (z, y, x) for volumes.
        weight: how strongly it counts.
        compat: label compatibility of this kernel alone, see :func:`pyseg.dense_crf`; None: the call's.
        normalization: of this kernel alone; None: the call's.
    """

    sxy: float | Sequence[float] | Any = 3.0
    weight: float | Any = 3.0
    compat: Array | None = None
    normalization: str | None = None


@dataclass(frozen=True)
class Bilateral:
    """The appearance kernel: exp(-|p_i - p_j|^2 / 2 sxy^2 - |I_i - I_j|^2 / 2 srgb^2).

    Attributes:
        sxy: as in :class:`Gaussian`.
        srgb: standard deviation in the image's own units (0 to 255 for uint8): a number, or one a channel.
        weight, compat, normalization: as in :class:`Gaussian`.
    """

    sxy: float | Sequence[float] | Any = 80.0
    srgb: float | Sequence[float] | Any = 13.0
    weight: float | Any = 10.0
    compat: Array | None = None
    normalization: str | None = None


@dataclass(frozen=True)
class Features:
    """A kernel over any features: exp(-|f_i - f_j|^2 / 2).

    Attributes:
        features: [N, d], 1 <= d <= 16, divided by their standard deviations; [B, N, d] for a batch. N in the order of
            the flattened spatial axes.
        weight, compat, normalization: as in :class:`Gaussian`.
    """

    features: Array
    weight: float | Any = 1.0
    compat: Array | None = None
    normalization: str | None = None


Kernel = Gaussian | Bilateral | Features


def sigmas(name: str, value: Any, count: int, of: str) -> list[float]:
    """``value`` as ``count`` positive numbers."""
    if isinstance(value, (str, bytes)):
        raise TypeError(f"dense_crf: {name} must be a number or {count} numbers, got {value!r}")
    if is_torch(value):
        value = value.detach().cpu().numpy()
    # Numbers first: torch.compile(dynamic=True) knows no hasattr of them.
    scalar = isinstance(value, (int, float)) or not hasattr(value, "__iter__") or getattr(value, "ndim", 1) == 0
    result = [real("dense_crf", name, value)] * count if scalar else [real("dense_crf", name, v) for v in value]
    if len(result) != count:
        raise ValueError(f"dense_crf: {name} must be a number or {count} numbers, one {of}, got {len(result)}")
    for number in result:
        if not 0 < number < float("inf"):
            raise ValueError(f"dense_crf: {name} must be > 0 and finite, got {number}")
    return result


def spatial_axes(dims: int) -> list[int]:
    """The order of spatial features among (z, y, x): (x, y) in images, (z, y, x) in volumes."""
    return [2, 1] if dims == 2 else [0, 1, 2]


def kernel_normalization(kernel: Kernel, common: str | None) -> int:
    """The kernel's own, or the call's."""
    own = kernel.normalization
    return normalization_code("dense_crf", common if own is None else own)


def effective_compat(kernel: Kernel, common: Any, classes: int) -> NDArray[np.float32]:
    """The kernel's term of the energy: w (Potts: - w x), [K] (c x) or a symmetric [K, K] (C x)."""
    compat = common if kernel.compat is None else kernel.compat
    weight = np.float32(_weight(kernel.weight))
    if compat is None:
        return np.array(weight)
    array, _ = to_numpy("dense_crf", "compat", np.asarray(compat) if isinstance(compat, (list, tuple)) else compat)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"dense_crf: compat must be numbers, got {array.dtype}")
    _check_compat(array.shape, classes)
    array = weight * array.astype(np.float32)
    if not np.isfinite(array).all():
        raise ValueError("dense_crf: compat must be finite, got NaN or infinity")
    return array if array.ndim == 1 else (array + array.T) * np.float32(0.5)


def _weight(value: Any) -> float:
    weight = real("dense_crf", "weight", value.detach() if is_torch(value) else value)
    if not -float("inf") < weight < float("inf"):
        raise ValueError(f"dense_crf: weight must be finite, got {weight}")
    return weight


def _check_compat(shape: Sequence[int], classes: int) -> None:
    if tuple(shape) not in ((classes,), (classes, classes)):
        raise ValueError(
            f"dense_crf: compat must be [K] or [K, K] with K = {classes} as in the unary term, got {list(shape)}"
        )


def compat_tensor(kernel: Kernel, common: Any, classes: int) -> Any:
    """:func:`effective_compat` as a float32 tensor on the CPU, differentiable in weight and compat."""
    import torch

    compat = common if kernel.compat is None else kernel.compat
    weight: Any = kernel.weight
    w = weight if is_torch(weight) else torch.tensor(_weight(weight))
    if w.dim() != 0:
        raise ValueError(f"dense_crf: weight must be one number, got {list(w.shape)}")
    w = w.to("cpu", torch.float32)
    if compat is None:
        return w
    if hasattr(compat, "shape"):
        _check_compat(compat.shape, classes)
    c = number_tensor("compat", compat)
    _check_compat(c.shape, classes)
    c = w * c.to("cpu", torch.float32)
    return c if c.dim() == 1 else (c + c.T) * 0.5


def number_tensor(name: str, value: Any) -> Any:
    """Numbers of any kind as a tensor; a tensor as it is."""
    import torch

    if is_torch(value):
        if value.is_complex():
            raise TypeError(f"dense_crf: {name} must be numbers, got {value.dtype}")
        return value
    array, _ = to_numpy("dense_crf", name, np.asarray(value) if isinstance(value, (list, tuple)) else value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"dense_crf: {name} must be numbers, got {array.dtype}")
    if array.size >= 2**34:
        raise ValueError(f"dense_crf: {name} must be fewer than 2^34 numbers, got {list(array.shape)}")
    return torch.from_numpy(np.array(array, np.float32))
