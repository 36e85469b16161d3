"""``skimage.segmentation.felzenszwalb``, computed by pyseg."""

from __future__ import annotations

import math
import operator
import sys
import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyseg._check import integer, real
from pyseg.compat._floats import as_float
from pyseg.ops.felzenszwalb import _on_numpy, _options

__all__ = ["felzenszwalb"]


def felzenszwalb(
    image: ArrayLike,
    scale: float = 1,
    sigma: float = 0.8,
    min_size: int = 20,
    *,
    channel_axis: int | None = -1,
) -> NDArray[np.int64]:
    """``skimage.segmentation.felzenszwalb`` (scikit-image 0.26): the same arguments, and the same labels.

    Edges of equal weight are the exception: they come in the order of a stable sort, where scikit-image has an unstable
    one. So are 8 and more channels that are not the last axis in memory: there scikit-image's weights may differ in the
    last bit. The Gaussian is made by NumPy, as there: :func:`pyseg.felzenszwalb` has the C library's ``exp``, which may
    differ in the last bit (with AVX-512 and a ``sigma`` of 0.7 it does, of 0.5, 0.8 or 1 it does not).

    Args:
        image: [H, W], or [H, W, C] with a ``channel_axis``; any bool, integer or floating dtype. Integers are scaled
            to [0, 1] (signed ones to [-1, 1]) by the range of their type.
        scale: larger makes larger segments; 0 and below join nothing but what is too small.
        sigma: width of a Gaussian for smoothing beforehand, in pixels, up to 1000.
        min_size: smaller segments join a neighbour.
        channel_axis: the axis of the channels, None for an image without.

    Returns:
        int64 labels [H, W], 0 onwards in the raster order of first pixels.

    Raises:
        ValueError: a value out of range; an empty image; pixels that are NaN, infinite or beyond 1e150.
        TypeError: an argument of the wrong kind.

    Warns:
        RuntimeWarning: more than 3 channels.
    """
    array = np.asarray(image)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"felzenszwalb: image must be of a bool, integer or floating dtype, got {array.dtype}")
    if channel_axis is None and array.ndim > 2:
        raise ValueError("This algorithm works only on single or multi-channel 2d images. ")
    if channel_axis is not None:
        last = integer("felzenszwalb", "channel_axis", channel_axis, -array.ndim, array.ndim - 1)
        array = np.moveaxis(array, last, -1)
    array = np.atleast_3d(array)
    if array.ndim != 3:
        raise ValueError(f"felzenszwalb: image must be [H, W], or [H, W, C] with channels, got {list(array.shape)}")
    if array.shape[2] > 3:
        warnings.warn(
            f"Got image with third dimension of {array.shape[2]}. This image will be interpreted as a multichannel 2d "
            "image, which may not be intended.",
            RuntimeWarning,
            stacklevel=2,
        )
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype.kind in "bi" or (array.dtype.kind == "u" and array.dtype.itemsize > 2):
        array = as_float(array)
    k = min(max(real("felzenszwalb", "scale", scale), math.ulp(0.0)), sys.float_info.max)
    options = _options(k, sigma, max(0, operator.index(min_size)), 0)
    labels, _ = _on_numpy(array, [0, 1], 2, options, _half_gaussian(options.sigma))
    return labels.astype(np.int64)


def _half_gaussian(sigma: float) -> list[float]:
    """SciPy's taps from the middle outwards."""
    radius = int(4.0 * sigma + 0.5)
    if radius == 0:
        return [1.0]
    kernel = np.exp(-0.5 / (sigma * sigma) * np.arange(-radius, radius + 1) ** 2)
    taps: list[float] = (kernel / kernel.sum())[radius:].tolist()
    return taps
