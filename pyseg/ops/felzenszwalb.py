"""Graph-based segmentation (Felzenszwalb & Huttenlocher, "Efficient Graph-Based Image Segmentation", IJCV 2004)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyseg import _runtime
from pyseg._arrays import Array, is_torch, to_numpy
from pyseg._check import flag, integer, real
from pyseg.ops.superpixel_stats import superpixel_stats

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["felzenszwalb"]

_MOST = 2**31 - 1
_MOST_SIGMA = 1000.0
_DTYPES = ("uint8", "uint16", "float16", "float32", "float64")


@dataclass(frozen=True)
class _Options:
    """The checked arguments, as the libraries take them."""

    scale: float
    sigma: float
    min_size: int
    start_label: int


def _options(scale: float, sigma: float, min_size: int, start_label: int) -> _Options:
    k, width = real("felzenszwalb", "scale", scale), real("felzenszwalb", "sigma", sigma)
    if k <= 0:
        raise ValueError(f"felzenszwalb: scale must be > 0, got {scale}")
    if k == math.inf:
        raise ValueError(f"felzenszwalb: scale must be finite, got {scale}")
    if width < 0 or width > _MOST_SIGMA:
        raise ValueError(f"felzenszwalb: sigma must be 0 .. {_MOST_SIGMA:g} pixels, got {sigma}")
    return _Options(
        scale=k,
        sigma=width,
        min_size=min(integer("felzenszwalb", "min_size", min_size, 0), _MOST),
        start_label=integer("felzenszwalb", "start_label", start_label, 0, _MOST),
    )


def _axes(shape: Sequence[int], channel_axis: int | None) -> tuple[list[int], int | None]:
    """The axes of height and width, and the channel axis."""
    if channel_axis is None or len(shape) == 2:
        if len(shape) != 2:
            raise ValueError(f"felzenszwalb: an image without channels must be [H, W], got {list(shape)}")
        return [0, 1], None
    if len(shape) != 3:
        raise ValueError(f"felzenszwalb: image must be [H, W], or [H, W, C] with channels, got {list(shape)}")
    axis = integer("felzenszwalb", "channel_axis", channel_axis, -3, 2) % 3
    return [d for d in range(3) if d != axis], axis


def felzenszwalb(
    image: Array,
    scale: float = 1.0,
    sigma: float = 0.8,
    min_size: int = 20,
    *,
    start_label: int = 0,
    channel_axis: int | None = -1,
    return_stats: bool = False,
) -> Any:
    """Felzenszwalb and Huttenlocher's graph-based segmentation: pixels that differ less than their regions do join.

    The labels are those of ``skimage.segmentation.felzenszwalb``, except where that leaves the order of edges of equal
    weight to chance: here it is by direction (right, down, right down, left down), then by raster order. They are dense
    (``start_label``, ``start_label`` + 1, ...) in the raster order of first pixels, each is one 8-connected component,
    and they are bit-identical for any number of threads, any instruction set, and for NumPy and torch.

    Args:
        image: [H, W] or [H, W, C] of any number of channels; uint8, uint16, float16, float32 or float64 (floats in
            [0, 1], which integers' ranges become); any strides; NumPy, CuPy, torch, or anything with ``__dlpack__``.
        scale: the paper's k, for values of 0 to 255: larger makes larger regions. A region tolerates an edge of weight
            w (the Euclidean distance of two pixels' colours) up to the largest that joined it + scale / 255 / its size.
        sigma: width of a Gaussian for smoothing beforehand, in pixels, up to 1000; 0: none.
        min_size: smaller regions, in pixels, join the neighbour across their least edge. 0 or 1: none do.
        start_label: the first label.
        channel_axis: which axis holds the channels; None for none. A 2-D array never has channels.
        return_stats: also return :class:`~pyseg.SuperpixelStats`.

    Returns:
        int32 labels [H, W], the same kind of array on the same device; never aliasing the input. With
        ``return_stats``, (labels, stats).

    Raises:
        ValueError: a value out of range; an empty image; pixels that are NaN, infinite or beyond 1e150.
        TypeError: an unsupported dtype or kind of argument.

    It runs on the CPU; what comes from another device is given back there.
    """
    options = _options(scale, sigma, min_size, start_label)
    with_stats = flag("felzenszwalb", "return_stats", return_stats)
    labels: Any
    count: Any
    if is_torch(image):
        _, axis = _axes(tuple(image.shape), channel_axis)
        labels, count = _on_torch(image.unsqueeze(0) if axis is None else image.movedim(axis, 0), options)
    else:
        array, back = to_numpy("felzenszwalb", "image", image)
        labels, count = _on_numpy(array, *_axes(array.shape, channel_axis), options)
        labels = back(labels)
    if not with_stats:
        return labels
    stats = superpixel_stats(labels, image, n=int(count), start_label=options.start_label, channel_axis=channel_axis)
    return labels, stats


def _on_numpy(
    image: NDArray[Any], axes: list[int], axis: int | None, o: _Options, kernel: Sequence[float] = ()
) -> tuple[NDArray[np.int32], int]:
    """``kernel``: the Gaussian's taps from the middle outwards, instead of those that the library makes of sigma."""
    if image.dtype.name not in _DTYPES:
        raise TypeError(f"felzenszwalb: image must be one of {', '.join(_DTYPES)}, got {image.dtype}")
    result: tuple[NDArray[np.int32], int] = _runtime.native().felzenszwalb(
        image, [*axes, -1 if axis is None else axis], o.scale, o.sigma, o.min_size, o.start_label, kernel
    )
    return result


def _on_torch(image: Tensor, o: _Options) -> tuple[Tensor, Tensor]:
    """[C, H, W] -> labels [H, W], count []."""
    import torch

    _runtime.load_torch()
    if image.layout != torch.strided or image.device.type == "meta":
        raise TypeError(f"felzenszwalb: image must be a dense tensor with values, got {image.layout} on {image.device}")
    if image.dtype == torch.bfloat16:
        image = image.float()
    name = str(image.dtype).removeprefix("torch.")
    if name not in _DTYPES:
        raise TypeError(f"felzenszwalb: image must be one of {', '.join(_DTYPES)} or bfloat16, got {image.dtype}")
    batch = image.detach().unsqueeze(0).cpu()
    try:
        labels, count = torch.ops.pyseg.felzenszwalb(batch, o.scale, o.sigma, o.min_size, o.start_label)
    except (RuntimeError, ValueError) as error:
        message = str(error).partition("\n")[0]
        if message.startswith("felzenszwalb: "):  # C++'s std::invalid_argument, in some versions of torch
            raise ValueError(message) from None
        raise
    return labels.squeeze(0).to(image.device), count.squeeze(0)
