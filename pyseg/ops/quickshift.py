"""Quick shift (Vedaldi and Soatto, "Quick Shift and Kernel Methods for Mode Seeking", ECCV 2008)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyseg import _runtime
from pyseg._arrays import Array, is_cupy, is_torch, to_numpy
from pyseg._check import flag, integer, real
from pyseg.ops.superpixel_stats import superpixel_stats

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["quickshift"]

_MOST = 2**31 - 1
_NOISE = 1e-5  # scikit-image's
_DTYPES = ("uint8", "uint16", "float16", "float32", "float64")


@dataclass(frozen=True)
class _Options:
    """The checked arguments, as the libraries take them."""

    ratio: float
    kernel_size: float
    max_dist: float
    sigma: float
    to_lab: bool
    start_label: int
    tree: bool


def _options(
    channels: int,
    ratio: float,
    kernel_size: float,
    max_dist: float,
    sigma: float,
    convert2lab: bool | None,
    start_label: int,
    return_tree: bool,
) -> _Options:
    if convert2lab is None:
        convert2lab = channels == 3
    elif flag("quickshift", "convert2lab", convert2lab) and channels != 3:
        raise ValueError(f"quickshift: convert2lab needs an image of 3 channels (RGB), got {channels}")
    return _Options(
        ratio=real("quickshift", "ratio", ratio),
        kernel_size=real("quickshift", "kernel_size", kernel_size),
        max_dist=real("quickshift", "max_dist", max_dist),
        sigma=real("quickshift", "sigma", sigma),
        to_lab=bool(convert2lab),
        start_label=integer("quickshift", "start_label", start_label, 0, _MOST),
        tree=flag("quickshift", "return_tree", return_tree),
    )


def _axes(shape: Sequence[int], channel_axis: int | None) -> tuple[list[int], int | None]:
    """The spatial axes of an image, and its channel axis."""
    ndim = len(shape)
    if ndim == 2:
        return [0, 1], None
    if ndim != 3 or channel_axis is None:
        raise ValueError(f"quickshift: image must be [H, W] or [H, W, C], got {list(shape)}")
    axis = integer("quickshift", "channel_axis", channel_axis, -3, 2) % 3
    return [d for d in range(3) if d != axis], axis


def _noise(rng: Any, shape: Sequence[int]) -> NDArray[np.float64] | None:
    """What is added to the densities of an image of that height and width."""
    if rng is None:
        return None
    if not isinstance(rng, np.random.Generator):
        rng = np.random.default_rng(integer("quickshift", "rng", rng, 0))
    if math.prod(shape) > _MOST:  # before it is drawn
        raise ValueError(f"quickshift: image must have at most 2^31 - 1 pixels, got {math.prod(shape)}")
    noise: NDArray[np.float64] = rng.normal(scale=_NOISE, size=tuple(shape))
    return noise


def _on_numpy(
    image: NDArray[Any], axes: list[int], axis: int | None, o: _Options, rng: Any
) -> tuple[NDArray[np.int32], int, NDArray[np.int64], NDArray[np.float32]]:
    if image.dtype.name not in _DTYPES:
        raise TypeError(f"quickshift: image must be one of {', '.join(_DTYPES)}, got {image.dtype}")
    noise = _noise(rng, [image.shape[d] for d in axes])
    result: tuple[NDArray[np.int32], int, NDArray[np.int64], NDArray[np.float32]]
    result = _runtime.native().quickshift(
        image, [*axes, -1 if axis is None else axis], o.ratio, o.kernel_size, o.max_dist, o.sigma, o.to_lab,
        o.start_label, noise, o.tree, False,
    )  # fmt: skip
    return result


def _on_torch(batch: Tensor, o: _Options, noise: Tensor | None) -> list[Tensor]:
    """[B, C, H, W] -> labels [B, H, W], counts [B], parents and distances [B, H, W]."""
    import torch

    _runtime.load_torch()
    ops = torch.ops.pyseg
    if batch.layout != torch.strided or batch.device.type == "meta":
        raise TypeError(f"quickshift: image must be a dense tensor with values, got {batch.layout} on {batch.device}")
    if batch.dtype == torch.bfloat16:
        batch = batch.float()
    name = str(batch.dtype).removeprefix("torch.")
    if name not in _DTYPES:
        raise TypeError(f"quickshift: image must be one of {', '.join(_DTYPES)} or bfloat16, got {batch.dtype}")
    device = batch.device
    try:
        results = ops.quickshift(
            batch.detach().cpu(), o.ratio, o.kernel_size, o.max_dist, o.sigma, o.to_lab, o.start_label, noise, o.tree
        )
    except (RuntimeError, ValueError) as error:
        message = str(error).partition("\n")[0]
        if message.startswith("quickshift: "):  # some versions of torch pass std::invalid_argument on as a RuntimeError
            raise ValueError(message) from None
        raise
    return [result.to(device) for result in results]


def quickshift(
    image: Array,
    ratio: float = 1.0,
    kernel_size: float = 5.0,
    max_dist: float = 10.0,
    *,
    sigma: float = 0.0,
    convert2lab: bool | None = None,
    rng: int | np.random.Generator | None = None,
    start_label: int = 0,
    channel_axis: int | None = -1,
    return_tree: bool = False,
    return_stats: bool = False,
) -> Any:
    """Quick shift: each pixel belongs with the nearest pixel of higher density; the modes are the segments.

    A pixel is a point (``ratio`` * colour, y, x). Its density is a sum of Gaussians of its distances to the pixels
    around it, its parent the nearest pixel of higher density; both look at a window of +-3 ``kernel_size`` (rounded
    up). Of equal densities the first in raster order counts as the higher, of equally near parents the first is taken.
    Links longer than ``max_dist`` are cut, and the trees that are left are the segments. A segment need not be
    connected.

    Labels are dense (``start_label``, ``start_label`` + 1, ...) in order of their first pixels, and they are
    bit-identical for any number of threads, any instruction set, and for NumPy and torch.

    Args:
        image: [H, W] or [H, W, C]; uint8, uint16, float16, float32 or float64 (floats in [0, 1]); any strides; NumPy,
            CuPy, torch, or anything with ``__dlpack__``.
        ratio: weight of colour against space, >= 0. In CIELAB 1 takes a unit of colour for a pixel; scikit-image
            advises 0 to 1.
        kernel_size: standard deviation of the density's Gaussian, in pixels, >= 1. More is fewer and larger segments.
        max_dist: a pixel farther than this from its parent is a mode. More is fewer segments.
        sigma: Gaussian smoothing of the colours beforehand, in pixels; 0: none.
        convert2lab: convert RGB to CIELAB. None: where there are 3 channels. Without it, the range of an integer type
            (of a float: 0 to 1) weighs as 0 to 100, L's range, so that ``ratio`` means the same.
        rng: a seed or a NumPy generator: normal noise of standard deviation 1e-5 is added to the densities, which
            breaks ties at random. None: no noise.
        start_label: the first label.
        channel_axis: which axis of a 3-D image holds the channels. A 2-D array never has channels.
        return_tree: also return the tree, uncut.
        return_stats: also return :class:`~pyseg.SuperpixelStats`.

    Returns:
        int32 labels [H, W], the same kind of array on the same device; never aliasing the input. With
        ``return_tree``, (labels, parents, distances): int64 [H, W] raster indices of the parents, a pixel without one
        its own; float32 [H, W] distances to them, infinite for such a pixel. With ``return_stats`` the statistics come
        last.

    Raises:
        ValueError: a value out of range, an empty image, NaN or infinite pixels, a window of more than 2^22 pixels.
        TypeError: an unsupported dtype or kind of argument.

    Computed on the CPU; of a GPU's array the results are given back on the device.
    """
    if not hasattr(image, "shape"):
        image, _ = to_numpy("quickshift", "image", image)
    shape = tuple(image.shape)
    axes, axis = _axes(shape, channel_axis)
    options = _options(
        1 if axis is None else shape[axis], ratio, kernel_size, max_dist, sigma, convert2lab, start_label, return_tree
    )
    stats_too = flag("quickshift", "return_stats", return_stats)
    if is_torch(image):
        labels, count, *tree = _quickshift_tensor(image, axes, axis, options, rng)
    elif is_cupy(image):
        import cupy

        on_host = _on_numpy(cupy.asnumpy(image), axes, axis, options, rng)
        labels, count, *tree = (cupy.asarray(result) for result in on_host)
    else:
        array, back = to_numpy("quickshift", "image", image)
        on_host = _on_numpy(array, axes, axis, options, rng)
        labels, count, tree = back(on_host[0]), on_host[1], [back(on_host[2]), back(on_host[3])]
    results = [labels, *tree] if options.tree else [labels]
    if stats_too:
        results.append(
            superpixel_stats(
                labels,
                image,
                n=int(count),
                start_label=options.start_label,
                channel_axis=channel_axis,
                convert2lab=options.to_lab,
            )
        )
    return results[0] if len(results) == 1 else tuple(results)


def _quickshift_tensor(image: Tensor, axes: list[int], axis: int | None, o: _Options, rng: Any) -> list[Any]:
    import torch

    batch = (image.unsqueeze(0) if axis is None else image.movedim(axis, 0)).unsqueeze(0)
    noise = _noise(rng, [image.shape[d] for d in axes])
    return [r.squeeze(0) for r in _on_torch(batch, o, None if noise is None else torch.from_numpy(noise).unsqueeze(0))]
