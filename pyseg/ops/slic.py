"""SLIC superpixels (Achanta et al., "SLIC Superpixels Compared to State-of-the-Art Superpixel Methods", TPAMI 2012)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyseg import _runtime
from pyseg._arrays import Array, is_cupy, is_torch, to_numpy
from pyseg._check import flag, integer, per_axis, real
from pyseg.ops.superpixel_stats import superpixel_stats

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["slic", "slic_batch"]

_MOST = 2**31 - 1
_BINOMIAL = -1.0  # for sigma, to the libraries
_DTYPES = ("uint8", "uint16", "float16", "float32", "float64")


@dataclass(frozen=True)
class _Options:
    """The checked arguments, as the libraries take them."""

    n_segments: int
    compactness: float
    max_iter: int
    tol: float
    sigma: list[float]  # z, y, x; _BINOMIAL for that kernel
    to_lab: bool
    slic_zero: bool
    enforce_connectivity: bool
    min_size_factor: float
    start_label: int
    spacing: list[float]  # z, y, x
    dims: int


def _options(
    dims: int,
    channels: int,
    n_segments: int,
    compactness: float,
    max_iter: int,
    tol: float | None,
    sigma: float | Sequence[float] | None,
    convert2lab: bool | None,
    slic_zero: bool,
    enforce_connectivity: bool,
    min_size_factor: float,
    start_label: int,
    spacing: float | Sequence[float] | None,
) -> _Options:
    if convert2lab is None:
        convert2lab = channels == 3
    elif flag("slic", "convert2lab", convert2lab) and channels != 3:
        raise ValueError(f"slic: convert2lab needs an image of 3 channels (RGB), got {channels}")
    smoothing = [_BINOMIAL] * 3 if sigma is None else per_axis("slic", "sigma", sigma, dims, 0.0)
    if sigma is not None and min(smoothing) < 0:
        raise ValueError(f"slic: sigma must be >= 0, or None, got {sigma}")
    tolerance = -1.0 if tol is None else real("slic", "tol", tol)
    if tol is not None and tolerance < 0:
        raise ValueError(f"slic: tol must be >= 0 pixels, or None, got {tol}")
    return _Options(
        n_segments=min(integer("slic", "n_segments", n_segments, 1), _MOST),
        compactness=real("slic", "compactness", compactness),
        max_iter=min(integer("slic", "max_iter", max_iter, 0), _MOST),
        tol=tolerance,
        sigma=smoothing,
        to_lab=bool(convert2lab),
        slic_zero=flag("slic", "slic_zero", slic_zero),
        enforce_connectivity=flag("slic", "enforce_connectivity", enforce_connectivity),
        min_size_factor=real("slic", "min_size_factor", min_size_factor),
        start_label=integer("slic", "start_label", start_label, 0, _MOST),
        spacing=per_axis("slic", "spacing", 1.0 if spacing is None else spacing, dims, 1.0),
        dims=dims,
    )


def _axes(shape: Sequence[int], channel_axis: int | None) -> tuple[list[int], int | None]:
    """The spatial axes of an image, and its channel axis."""
    ndim = len(shape)
    if ndim < 2:
        raise ValueError(f"slic: image must be [H, W], [H, W, C] or a volume, got {list(shape)}")
    if channel_axis is None or ndim == 2:
        if ndim not in (2, 3):
            raise ValueError(f"slic: an image without channels must be [H, W] or [D, H, W], got {list(shape)}")
        return list(range(ndim)), None
    axis = integer("slic", "channel_axis", channel_axis, -ndim, ndim - 1) % ndim
    if ndim not in (3, 4):
        raise ValueError(f"slic: an image with channels must be [H, W, C] or [D, H, W, C], got {list(shape)}")
    return [d for d in range(ndim) if d != axis], axis


def _centers(centers: Any, dims: int, channels: int) -> NDArray[np.float64]:
    """[K, dims] or [K, dims + channels] with an absent z put in front."""
    array, _ = to_numpy("slic", "initial_centers", centers)
    if array.ndim != 2 or array.shape[1] not in (dims, dims + channels) or array.shape[0] == 0:
        raise ValueError(
            f"slic: initial_centers must be [K, {dims}] or [K, {dims + channels}] (position, then colour), "
            f"got {list(array.shape)}"
        )
    if array.dtype.kind not in "fiu":
        raise TypeError(f"slic: initial_centers must be numbers, got {array.dtype}")
    wide = np.zeros((array.shape[0], array.shape[1] + 3 - dims))
    wide[:, 3 - dims :] = array
    return wide


def _on_numpy(
    image: NDArray[Any], axes: list[int], axis: int | None, o: _Options, mask: Any, centers: Any
) -> tuple[NDArray[np.int32], int]:
    if image.dtype.name not in _DTYPES:
        raise TypeError(f"slic: image must be one of {', '.join(_DTYPES)}, got {image.dtype}")
    if mask is not None:
        mask, _ = to_numpy("slic", "mask", mask)
        if mask.shape != tuple(image.shape[d] for d in axes):
            spatial = [image.shape[d] for d in axes]
            raise ValueError(f"slic: mask must be {spatial} as the image, got {list(mask.shape)}")
        if mask.dtype.kind not in "biuf":
            raise TypeError(f"slic: mask must be bool, got {mask.dtype}")
        mask = mask.astype(bool, copy=False)
    all_axes = [-1] * (3 - len(axes)) + axes + [-1 if axis is None else axis]
    result: tuple[NDArray[np.int32], int] = _runtime.native().slic(
        image, all_axes, o.n_segments, o.compactness, o.max_iter, o.tol, o.sigma, o.to_lab, o.slic_zero,
        o.enforce_connectivity, o.min_size_factor, o.start_label, mask, o.spacing, centers,
    )  # fmt: skip
    return result


def _cuda_covers(dtype: str, channels: int, o: _Options, mask: Any) -> bool:
    """What the CUDA kernels take: 8-bit images of up to three channels, without the options of the float path."""
    plain = not (o.slic_zero or any(s > 0 for s in o.sigma) or any(s != 1.0 for s in o.spacing) or mask is not None)
    return dtype == "uint8" and channels <= 3 and o.dims == 2 and plain


def _on_torch(batch: Tensor, o: _Options, mask: Tensor | None, centers: Tensor | None) -> tuple[Tensor, Tensor]:
    """[B, C, H, W] or [B, C, D, H, W] -> labels [B, H, W] or [B, D, H, W], counts [B]."""
    import torch

    _runtime.load_torch()
    ops = torch.ops.pyseg
    if batch.layout != torch.strided or batch.device.type == "meta":
        raise TypeError(f"slic: image must be a dense tensor with values, got {batch.layout} on {batch.device}")
    if batch.dtype == torch.bfloat16:
        batch = batch.float()
    name = str(batch.dtype).removeprefix("torch.")
    if name not in _DTYPES:
        raise TypeError(f"slic: image must be one of {', '.join(_DTYPES)} or bfloat16, got {batch.dtype}")
    device = batch.device
    if device.type != "cpu" and not (device.type == "cuda" and _cuda_covers(name, batch.shape[1], o, mask)):
        batch = batch.cpu()  # no kernel there: computed on the CPU, given back on the device
    if mask is not None:
        mask = (mask != 0).cpu()
    if centers is not None:
        centers = centers.cpu()
    try:
        labels, count = ops.slic(
            batch.detach(), o.n_segments, o.compactness, o.max_iter, o.tol, o.sigma, o.to_lab, o.slic_zero,
            o.enforce_connectivity, o.min_size_factor, o.start_label, mask, o.spacing, centers, o.dims,
        )  # fmt: skip
    except (RuntimeError, ValueError) as error:
        message = str(error).partition("\n")[0]
        if message.startswith("slic on CUDA"):  # beyond what its kernels cover
            labels, count = _on_torch(batch.cpu(), o, mask, centers)
            return labels.to(device), count.to(device)
        if message.startswith("slic: "):  # some versions of torch pass C++'s std::invalid_argument on as a RuntimeError
            raise ValueError(message) from None
        raise
    return labels.to(device), count.to(device)


def slic(
    image: Array,
    n_segments: int = 100,
    compactness: float = 10.0,
    max_iter: int = 10,
    *,
    tol: float | None = None,
    sigma: float | Sequence[float] | None = None,
    convert2lab: bool | None = None,
    slic_zero: bool = False,
    enforce_connectivity: bool = True,
    min_size_factor: float = 0.25,
    start_label: int = 0,
    mask: Array | None = None,
    spacing: float | Sequence[float] | None = None,
    channel_axis: int | None = -1,
    initial_centers: Array | None = None,
    return_stats: bool = False,
) -> Any:
    """SLIC superpixels: k-means in colour and space, each pixel searched in a 2S x 2S window only.

    Labels are dense (``start_label``, ``start_label`` + 1, ...), each is one 4-connected component (6-connected in a
    volume), and they are bit-identical for any number of threads, any instruction set, and for NumPy and torch.

    Args:
        image: [H, W], [H, W, C], or a volume [D, H, W, C] ([D, H, W] with ``channel_axis=None``); uint8, uint16,
            float16, float32 or float64 (floats in [0, 1]); any strides; NumPy, CuPy, torch, or anything with
            ``__dlpack__``.
        n_segments: about how many superpixels; the seeds' grid has the nearest whole number of rows and columns. At
            or above the number of pixels, every pixel is its own.
        compactness: weight of space against colour (m of the paper), in units of CIELAB. 1 follows colour, 100 makes
            squares.
        max_iter: passes of assignment and update.
        tol: stop when the centres move less than this on average, in pixels; passes then look at every row of the
            image. None: exactly ``max_iter`` passes, each on every fourth row where superpixels are large enough for
            that.
        sigma: Gaussian smoothing beforehand, in pixels; one number, or one an axis; 0: none. None: the binomial kernel
            (1, 2, 1) / 4 along each axis, which improves every measure of quality and costs little. Values outside a
            mask have no weight.
        convert2lab: convert RGB to CIELAB. None: where there are 3 channels. Without it, the range of an integer type
            (of a float: 0 to 1) weighs as 0 to 100, L's range, so that ``compactness`` means the same.
        slic_zero: SLICO: compactness adapts to each superpixel's own contrast; ``compactness`` is where it starts.
        enforce_connectivity: join components smaller than ``min_size_factor`` times the mean area to the neighbour of
            nearest colour. False: labels are the raw clusters, of any number of components.
        min_size_factor: see ``enforce_connectivity``.
        start_label: the first label.
        mask: bool, the image's shape without channels: superpixels inside it only (maskSLIC); outside, the label is
            ``start_label - 1``.
        spacing: size of a pixel along each axis, for volumes of unequal resolution.
        channel_axis: which axis holds the channels; None for none. A 2-D array never has channels.
        initial_centers: warm start, for video or a second run: [K, 2] positions (y, x) in pixels ([K, 3] z, y, x in a
            volume), or [K, 2 + C] with the colours after them (CIELAB, or 0 to 100); replaces the grid.
            ``stats.initial_centers`` of an earlier call is one.
        return_stats: also return :class:`~pyseg.SuperpixelStats`.

    Returns:
        int32 labels of the image's spatial shape, the same kind of array on the same device; never aliasing the input.
        With ``return_stats``, (labels, stats).

    Raises:
        ValueError: a value out of range, an empty image, NaN or infinite pixels, a mask of another shape.
        TypeError: an unsupported dtype or kind of argument.

    On a GPU (torch CUDA, CuPy), 8-bit images of up to 3 channels run there; other inputs are computed on the CPU and
    given back on the device.
    """
    axes, axis = _axes(_shape(image), channel_axis)
    shape = _shape(image)
    channels = 1 if axis is None else shape[axis]
    options = _options(
        len(axes), channels, n_segments, compactness, max_iter, tol, sigma, convert2lab, slic_zero,
        enforce_connectivity, min_size_factor, start_label, spacing,
    )  # fmt: skip
    wide = None if initial_centers is None else _centers(initial_centers, len(axes), channels)
    if is_torch(image):
        labels, count = _slic_tensor(image, axis, options, mask, wide)
    elif is_cupy(image):
        labels, count = _slic_cupy(image, axes, axis, options, mask, wide)
    else:
        array, back = to_numpy("slic", "image", image)
        result, count = _on_numpy(array, axes, axis, options, mask, wide)
        labels = back(result)
    if not flag("slic", "return_stats", return_stats):
        return labels
    stats = superpixel_stats(
        labels,
        image,
        n=int(count),
        start_label=options.start_label,
        channel_axis=channel_axis,
        convert2lab=options.to_lab,
    )
    return labels, stats


def _shape(image: Any) -> tuple[int, ...]:
    if not hasattr(image, "shape"):
        image, _ = to_numpy("slic", "image", image)
    return tuple(image.shape)


def _slic_tensor(
    image: Tensor, axis: int | None, o: _Options, mask: Any, wide: NDArray[np.float64] | None
) -> tuple[Any, Any]:
    import torch

    batch = (image.unsqueeze(0) if axis is None else image.movedim(axis, 0)).unsqueeze(0)
    if mask is not None:
        mask = torch.as_tensor(mask)
        if mask.shape != batch.shape[2:]:
            raise ValueError(f"slic: mask must be {list(batch.shape[2:])} as the image, got {list(mask.shape)}")
        mask = mask.unsqueeze(0)
    labels, count = _on_torch(batch, o, mask, None if wide is None else torch.from_numpy(wide).unsqueeze(0))
    return labels.squeeze(0), count.squeeze(0)


def _slic_cupy(
    image: Any, axes: list[int], axis: int | None, o: _Options, mask: Any, wide: NDArray[np.float64] | None
) -> tuple[Any, Any]:
    import cupy

    library = _runtime.native_cuda()
    channels = 1 if axis is None else image.shape[axis]
    if library is not None and _cuda_covers(image.dtype.name, channels, o, mask):
        from pyseg.ops._cupy import slic as on_device

        try:
            return on_device(library, image, axes, axis, o, wide)
        except ValueError as error:  # beyond what its kernels cover
            if not str(error).startswith("slic on CUDA"):
                raise
    labels, count = _on_numpy(cupy.asnumpy(image), axes, axis, o, mask, wide)
    return cupy.asarray(labels), count


def slic_batch(
    images: Tensor,
    n_segments: int = 100,
    compactness: float = 10.0,
    max_iter: int = 10,
    *,
    tol: float | None = None,
    sigma: float | Sequence[float] | None = None,
    convert2lab: bool | None = None,
    slic_zero: bool = False,
    enforce_connectivity: bool = True,
    min_size_factor: float = 0.25,
    start_label: int = 0,
    masks: Tensor | None = None,
    spacing: float | Sequence[float] | None = None,
    initial_centers: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """:func:`slic` of a batch of torch images.

    Args:
        images: [B, C, H, W] or [B, C, D, H, W], contiguous or channels_last; dtypes as :func:`slic`.
        masks: bool [B, H, W] or [B, D, H, W].
        initial_centers: [B, K, 2] or [B, K, 2 + C] (3 in a volume).

    Other arguments as :func:`slic`.

    Returns:
        (labels int32 [B, H, W] or [B, D, H, W], number of labels int64 [B]), on the images' device.
    """
    if not is_torch(images):
        raise TypeError(f"slic_batch: images must be a torch tensor, got {type(images).__name__}")
    if images.dim() not in (4, 5):
        raise ValueError(f"slic_batch: images must be [B, C, H, W] or [B, C, D, H, W], got {list(images.shape)}")
    options = _options(
        images.dim() - 2, images.shape[1], n_segments, compactness, max_iter, tol, sigma, convert2lab, slic_zero,
        enforce_connectivity, min_size_factor, start_label, spacing,
    )  # fmt: skip
    spatial = [images.shape[0], *images.shape[2:]]
    if masks is not None and list(masks.shape) != spatial:
        raise ValueError(f"slic_batch: masks must be {spatial} as the images, got {list(masks.shape)}")
    if initial_centers is not None:
        import torch

        if initial_centers.dim() != 3 or initial_centers.shape[0] != images.shape[0]:
            shape = list(initial_centers.shape)
            raise ValueError(f"slic_batch: initial_centers must be [B, K, 2] or [B, K, 2 + C], got {shape}")
        wide = [_centers(c, options.dims, images.shape[1]) for c in initial_centers]
        initial_centers = torch.from_numpy(np.stack(wide)) if wide else torch.zeros(0, 1, 3, dtype=torch.float64)
    return _on_torch(images, options, masks, initial_centers)
