"""scikit-image's segmentation functions, computed by pyseg. scikit-image itself is not needed.

>>> import numpy as np
>>> from pyseg.compat.skimage import slic  # instead of: from skimage.segmentation import slic
>>> segments = slic(np.zeros((64, 64, 3)), n_segments=16)
>>> int(segments.min()), int(segments.max())
(1, 16)
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyseg._check import integer, real
from pyseg.compat._felzenszwalb import felzenszwalb
from pyseg.compat._floats import as_float
from pyseg.compat._quickshift import quickshift
from pyseg.ops.slic import slic as _slic

__all__ = ["felzenszwalb", "quickshift", "slic"]

_TABLE_BITS = 16  # integers of up to these are rescaled through a table

# With a mask, scikit-image takes for the segments' side the mean distance along an axis from one seed to the nearest
# other, instead of the seeds' interval: this much of it, whatever the mask (0.55 to 0.65, 0.43 to 0.45 in volumes).
_MASK_STEP = {2: 0.58, 3: 0.44}


def slic(
    image: ArrayLike,
    n_segments: float = 100,
    compactness: float = 10.0,
    max_num_iter: int = 10,
    sigma: float | Iterable[float] = 0,
    spacing: Iterable[float] | None = None,
    convert2lab: bool | None = None,
    enforce_connectivity: bool = True,
    min_size_factor: float = 0.5,
    max_size_factor: float = 3,
    slic_zero: bool = False,
    start_label: int = 1,
    mask: ArrayLike | None = None,
    *,
    channel_axis: int | None = -1,
) -> NDArray[np.int64]:
    """``skimage.segmentation.slic`` (scikit-image 0.26): the same arguments with the same meaning, other superpixels.

    The image is rescaled to [0, 1] by its least and largest value inside the mask, all channels together, so that
    neither its dtype nor its magnitude matters. ``compactness`` then weighs space against CIELAB where there is a
    conversion, and against that [0, 1] where there is none (grey or multi-channel images): there, 0.1 is what 10 is to
    :func:`pyseg.slic`. With a mask it weighs about 1.7 times as much (2.3 times in a volume), as in scikit-image.

    What differs from scikit-image, where :func:`pyseg.slic` has its own rules:

    * distances are sums of magnitudes, not of squares;
    * seeds are moved to a low gradient, and follow ``spacing``; in a mask they come from a grid instead of a random
      draw, so that labels run in raster order of the seeds there too;
    * each segment is connected where ``enforce_connectivity`` is true, and a small one joins the neighbour of nearest
      colour; labels have no gaps;
    * ``slic_zero`` may take the compactness of a segment lower than ``compactness``;
    * the Gaussian of ``sigma`` runs before the conversion to CIELAB, and sees zeros outside the mask;
    * ``max_size_factor`` has no effect: segments are not cut. In scikit-image it is the length of a buffer, and a
      larger segment is cut where the buffer ends.

    Args:
        image: [H, W, C], [D, H, W, C], or without channels [H, W], [D, H, W]; any bool, integer or floating dtype.
        n_segments: about how many segments.
        compactness: weight of space against colour; with ``slic_zero``, where it starts.
        max_num_iter: passes.
        sigma: width of a Gaussian for smoothing beforehand: one number, divided by ``spacing`` along each axis, or one
            an axis, in pixels.
        spacing: size of a pixel along each axis, by which distances along it are multiplied: twice the spacing
            everywhere is twice the compactness.
        convert2lab: convert RGB to CIELAB. None: where ``channel_axis`` is given and has 3 channels.
        enforce_connectivity: join components smaller than ``min_size_factor`` times the mean area to a neighbour.
        min_size_factor: see ``enforce_connectivity``.
        max_size_factor: no effect, see above.
        slic_zero: SLICO: compactness adapts to each segment's own contrast.
        start_label: 0 or 1: the first label. Outside the mask the label is ``start_label - 1``.
        mask: the image's shape without channels: segments inside it only. Outside, pixels may be NaN.
        channel_axis: the axis of the channels, None for an image without.

    Returns:
        int64 labels of the image's spatial shape.

    Raises:
        ValueError: a value out of range; NaN or infinite pixels inside the mask; a 2-D image with a ``channel_axis``;
            ``convert2lab=True`` without 3 channels; ``start_label`` other than 0 or 1; a mask of another shape.
        TypeError: an argument of the wrong kind.
    """
    array = np.asarray(image)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"slic: image must be of a bool, integer or floating dtype, got {array.dtype}")
    if channel_axis is not None:
        array = _channels_last(array, channel_axis)
    dims = array.ndim if channel_axis is None else array.ndim - 1
    if channel_axis is not None and convert2lab and array.shape[-1] != 3:
        raise ValueError("Lab colorspace conversion requires a RGB image.")
    if start_label not in (0, 1):
        raise ValueError("start_label should be 0 or 1.")
    if array.size == 0:
        raise ValueError(f"slic: image must not be empty, got shape {list(array.shape)}")
    inside = None if mask is None else np.ascontiguousarray(mask, dtype=bool)
    if inside is not None and inside.shape != array.shape[:dims]:
        raise ValueError("image and mask should have the same shape.")
    if dims not in (2, 3):
        raise ValueError(f"slic: an image without channels must be [H, W] or [D, H, W], got shape {list(array.shape)}")
    sizes = _spacing(spacing, dims)
    to_lab = channel_axis is not None and array.shape[-1] == 3 and (convert2lab is None or bool(convert2lab))
    weight, ratios = _weights(compactness, sizes, array.shape[:dims], to_lab, inside is not None)
    labels: NDArray[np.int32] = _slic(
        _rescale(array, inside),
        int(n_segments) if isinstance(n_segments, (float, np.floating)) else n_segments,
        weight,
        integer("slic", "max_num_iter", max_num_iter, 0),
        sigma=_sigma(sigma, sizes),
        convert2lab=to_lab,
        slic_zero=bool(slic_zero),
        enforce_connectivity=bool(enforce_connectivity),
        min_size_factor=min_size_factor,
        start_label=int(start_label),
        mask=inside,
        spacing=ratios,
        channel_axis=None if channel_axis is None else -1,
    )
    return labels.astype(np.int64)


def _channels_last(image: NDArray[Any], channel_axis: int) -> NDArray[Any]:
    if image.ndim == 2:
        raise ValueError(
            f"channel_axis={channel_axis} indicates multichannel, which is not supported for a two-dimensional image; "
            "use channel_axis=None if the image is grayscale"
        )
    if image.ndim not in (3, 4):
        raise ValueError(
            f"slic: an image with channels must have 3 axes, or 4 in a volume, got shape {list(image.shape)}"
        )
    return np.moveaxis(image, integer("slic", "channel_axis", channel_axis, -image.ndim, image.ndim - 1), -1)


def _rescale(image: NDArray[Any], inside: NDArray[np.bool_] | None) -> NDArray[Any]:
    """A copy in float32 or float64, with the least value inside the mask at 0 and the largest at 1."""
    image = image.astype(image.dtype.newbyteorder("="), copy=False)
    seen = image if inside is None else image[inside]
    if seen.size == 0:
        raise ValueError("slic: mask must have at least one pixel, got none")
    low, high = as_float(np.array([seen.min(), seen.max()]))
    if np.isnan(low):
        raise ValueError("unmasked NaN values in image are not supported")
    if np.isinf(low) or np.isinf(high):
        raise ValueError("unmasked infinite values in image are not supported")

    def rescaled(values: NDArray[Any]) -> NDArray[Any]:
        values = as_float(values)
        with np.errstate(over="ignore", invalid="ignore"):  # what lies outside the mask
            values -= low
            if high != low:
                values /= high - low
        return values

    bits = 8 * image.dtype.itemsize
    if image.dtype.kind == "f" or bits > _TABLE_BITS or image.size < 2**bits:
        return rescaled(image)
    unsigned = np.dtype(f"u{image.dtype.itemsize}")
    table = rescaled(np.arange(2**bits, dtype=unsigned).view(image.dtype))
    return np.take(table.astype(np.float32), image.view(unsigned))


def _spacing(spacing: Iterable[float] | None, dims: int) -> list[float]:
    """One size an axis."""
    if spacing is None:
        return [1.0] * dims
    if not isinstance(spacing, Iterable) or isinstance(spacing, (str, bytes)):
        raise TypeError("spacing must be None or iterable.")
    return _one_an_axis("spacing", spacing, dims)


def _sigma(sigma: float | Iterable[float], spacing: list[float]) -> list[float]:
    """One width an axis, in pixels."""
    if isinstance(sigma, Iterable) and not isinstance(sigma, (str, bytes)) and np.ndim(sigma) > 0:  # type: ignore[arg-type]
        return _one_an_axis("sigma", sigma, len(spacing))
    width = real("slic", "sigma", sigma)
    return [width / size for size in spacing]


def _one_an_axis(name: str, values: Iterable[float], dims: int) -> list[float]:
    numbers = [real("slic", name, value) for value in values]
    if dims == 2 and len(numbers) == 3:
        warnings.warn(
            f"Input image is 2D: {name} number of elements must be 2. In the future, a ValueError will be raised.",
            FutureWarning,
            stacklevel=4,
        )
        return numbers[1:]
    if len(numbers) != dims:
        raise ValueError(f"Input image is {dims}D, but {name} has {len(numbers)} elements (expected {dims}).")
    return numbers


def _weights(
    compactness: float, spacing: list[float], shape: tuple[int, ...], to_lab: bool, masked: bool
) -> tuple[float, list[float]]:
    """``compactness`` and ``spacing`` as :func:`pyseg.slic` takes them.

    There a float range of [0, 1] weighs as 0 to 100, L's range. There distances and the superpixels' size are both in
    units of ``spacing``, where scikit-image has the size in pixels, so that scaling ``spacing`` scales ``compactness``.
    """
    weight = real("slic", "compactness", compactness)
    if not (math.isfinite(weight) and weight > 0):
        raise ValueError(f"slic: compactness must be finite and > 0, got {compactness}")
    if not all(math.isfinite(size) and size > 0 for size in spacing):
        raise ValueError(f"slic: spacing must be finite and > 0, got {spacing}")
    axes = [size for size, length in zip(spacing, shape, strict=True) if length > 1] or [1.0]
    scale = math.exp(math.fsum(map(math.log, axes)) / len(axes))
    step = _MASK_STEP[len(shape)] if masked else 1.0
    return weight * (1.0 if to_lab else 100.0) * scale / step, [size / scale for size in spacing]
