"""scikit-image's quickshift, label for label: its preparation in NumPy, and the kernel's exact arithmetic."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyseg import _runtime
from pyseg._check import integer, real
from pyseg.compat._floats import as_float

_XYZ_OF_RGB = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
_WHITE = (0.95047, 1.0, 1.08883)  # D65, 2 degrees


def quickshift(
    image: ArrayLike,
    ratio: float = 1.0,
    kernel_size: float = 5,
    max_dist: float = 10,
    return_tree: bool = False,
    sigma: float = 0,
    convert2lab: bool = True,
    rng: int | np.random.Generator = 42,
    *,
    channel_axis: int = -1,
) -> Any:
    """``skimage.segmentation.quickshift`` (scikit-image 0.26): the same arguments, and the same labels.

    The densities are summed in the image's own floating type (float16 in float32, integers in float64) and the same
    noise is added to them, so that maps are equal for equal ``rng``, up to what a last bit of a density can decide.
    :func:`pyseg.quickshift` is faster and needs no noise.

    What differs: an image with NaN or infinite values is an error, as is a window of more than 2^22 pixels; ``rng`` may
    be a generator, as scikit-image documents; the tree comes as arrays.

    Args:
        image: [H, W, C], or [H, W] with ``convert2lab=False``; any bool, integer or floating dtype. Integers become
            [0, 1] ([-1, 1] where signed), and without CIELAB weigh as that.
        ratio: weight of colour against space.
        kernel_size: standard deviation of the density's Gaussian, in pixels, >= 1. The window is three times that.
        max_dist: a pixel farther than this from the nearest one of higher density is a mode.
        return_tree: also return the tree, uncut.
        sigma: Gaussian smoothing, after the conversion to CIELAB.
        convert2lab: convert RGB to CIELAB.
        rng: seed of the noise, of standard deviation 1e-5, that breaks ties.
        channel_axis: the axis of the channels.

    Returns:
        int64 labels [H, W] from 0 on, in raster order of the modes. With ``return_tree``, (labels, parents, distances):
        the parents' raster indices, and float distances to them, of a pixel without a parent the root of the largest
        number that scikit-image starts from.

    Raises:
        ValueError: a value out of range, an image that is no 2-D one, ``convert2lab`` without 3 channels.
        TypeError: an argument of the wrong kind.
    """
    array = np.atleast_3d(np.asarray(image))
    if array.dtype.kind not in "biuf":
        raise ValueError(f"quickshift: image must be of a bool, integer or floating dtype, got {array.dtype}")
    if array.ndim > 3:
        raise ValueError(f"quickshift: image must be [H, W] or [H, W, C], got shape {list(array.shape)}")
    if array.size == 0:
        raise ValueError(f"quickshift: image must not be empty, got shape {list(array.shape)}")
    array = np.moveaxis(array, integer("quickshift", "channel_axis", channel_axis, -3, 2), -1)
    if convert2lab and array.shape[-1] != 3:
        raise ValueError(f"quickshift: convert2lab needs an image of 3 channels (RGB), got {array.shape[-1]}")
    size = real("quickshift", "kernel_size", kernel_size)
    if size < 1:
        raise ValueError(f"quickshift: kernel_size must be >= 1, got {kernel_size}")
    width = real("quickshift", "sigma", sigma)
    if width < 0:
        raise ValueError(f"quickshift: sigma must be >= 0, got {sigma}")
    weight = real("quickshift", "ratio", ratio)
    if isinstance(ratio, np.floating):  # a float64 of NumPy's makes float32 images float64
        weight = ratio
    if not isinstance(rng, np.random.Generator):
        rng = np.random.default_rng(integer("quickshift", "rng", rng, 0))
    with np.errstate(all="ignore"):  # what is not finite is an error below
        features = _features(array.astype(array.dtype.newbyteorder("="), copy=False), bool(convert2lab), width) * weight
    noise = rng.normal(scale=0.00001, size=features.shape[:2])
    labels, _, parents, distances = _runtime.native().quickshift(
        features, [0, 1, 2], 1.0, size, real("quickshift", "max_dist", max_dist), 0.0, False, 0, noise,
        bool(return_tree), True,
    )  # fmt: skip
    segments: NDArray[np.int64] = labels.astype(np.int64)
    if not return_tree:
        return segments
    if distances.dtype == np.float64:
        distances[np.isinf(distances)] = math.sqrt(np.finfo(np.float64).max)
    return segments, parents.astype(np.intp, copy=False), distances


def _features(image: NDArray[Any], to_lab: bool, sigma: float) -> NDArray[Any]:
    """[H, W, C] in float32 or float64, the operations in scikit-image's order."""
    if to_lab and image.dtype == np.uint8:  # as below, of 256 values
        features = _lab_of_linear(_linear(as_float(np.arange(256, dtype=np.uint8)))[image])
    else:
        features = as_float(image)
        if to_lab:
            features = _lab_of_linear(_linear(features))
    if sigma > 1e-15:
        for axis in range(2):
            features = _smooth(features, axis, sigma)
    return features


def _linear(rgb: NDArray[Any]) -> NDArray[Any]:
    light: NDArray[Any] = np.where(rgb > 0.04045, np.power((rgb + 0.055) / 1.055, 2.4), rgb / 12.92)
    return light


def _lab_of_linear(light: NDArray[Any]) -> NDArray[Any]:
    t = light @ _XYZ_OF_RGB.T.astype(light.dtype) / np.array(_WHITE, light.dtype)
    x, y, z = np.moveaxis(np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16.0 / 116.0), -1, 0)
    return np.stack([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)], axis=-1)


def _smooth(values: NDArray[Any], axis: int, sigma: float) -> NDArray[Any]:
    """``scipy.ndimage.gaussian_filter1d``: cut off at 4 sigma, mirrored; in float64, pairs of neighbours first."""
    radius, size = int(min(4.0 * sigma + 0.5, 1e6)), values.shape[axis]
    kernel = np.exp(-0.5 / (sigma * sigma) * np.arange(-radius, radius + 1) ** 2)
    kernel /= kernel.sum()
    lines = np.moveaxis(values, axis, 0).astype(np.float64)

    def moved(step: int) -> Any:
        at = (np.arange(size) + step) % (2 * size)
        return lines[np.minimum(at, 2 * size - 1 - at)]

    if radius > 8 * size:  # not a step for each of millions that come to the same: all is nearly the mean
        shares = np.bincount(np.arange(-radius, radius + 1) % (2 * size), kernel)
        total = sum(moved(step) * share for step, share in enumerate(shares))
    else:
        total = lines * kernel[radius]
        for step in range(-radius, 0):
            total += (moved(step) + moved(-step)) * kernel[radius + step]
    smoothed: NDArray[Any] = np.moveaxis(total, 0, axis).astype(values.dtype)
    return smoothed
