"""TurboPixels (Levinshtein et al., "TurboPixels: Fast Superpixels Using Geometric Flows", TPAMI 2009)."""

from __future__ import annotations

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

__all__ = ["turbopixels"]

_MOST = 2**31 - 1
_DTYPES = ("uint8", "uint16", "float16", "float32", "float64")


@dataclass(frozen=True)
class _Options:
    """The checked arguments, as the libraries take them."""

    n_segments: int
    alpha: float
    beta: float
    nu: float
    gamma: float
    sigma: float  # 0: the default
    max_iter: int
    enforce_connectivity: bool
    start_label: int


def _options(
    n_segments: int,
    alpha: float,
    beta: float,
    nu: float,
    gamma: float,
    sigma: float | None,
    max_iter: int,
    enforce_connectivity: bool,
    start_label: int,
) -> _Options:
    op = "turbopixels"
    width = 0.0 if sigma is None else real(op, "sigma", sigma)
    if sigma is not None and width <= 0:
        raise ValueError(f"{op}: sigma must be finite and > 0, or None, got {sigma}")
    return _Options(
        n_segments=min(integer(op, "n_segments", n_segments, 1), _MOST),
        alpha=real(op, "alpha", alpha),
        beta=real(op, "beta", beta),
        nu=real(op, "nu", nu),
        gamma=real(op, "gamma", gamma),
        sigma=width,
        max_iter=min(integer(op, "max_iter", max_iter, 0), _MOST),
        enforce_connectivity=flag(op, "enforce_connectivity", enforce_connectivity),
        start_label=integer(op, "start_label", start_label, 0, _MOST),
    )


def _channel_axis(shape: Sequence[int], channel_axis: int | None) -> int | None:
    """The axis of the channels, None where there is none. A 2-D array never has channels."""
    if len(shape) == 2:
        return None
    if len(shape) != 3 or channel_axis is None:
        rule = "[H, W] or [H, W, C]" if channel_axis is not None else "[H, W] without a channel_axis"
        raise ValueError(f"turbopixels: image must be {rule}, got {list(shape)}")
    return integer("turbopixels", "channel_axis", channel_axis, -3, 2) % 3


def _on_numpy(image: NDArray[Any], axis: int | None, o: _Options) -> tuple[NDArray[np.int32], int]:
    if image.dtype.name not in _DTYPES:
        raise TypeError(f"turbopixels: image must be one of {', '.join(_DTYPES)}, got {image.dtype}")
    axes = [-1, *(d for d in range(image.ndim) if d != axis), -1 if axis is None else axis]
    result: tuple[NDArray[np.int32], int] = _runtime.native().turbopixels(
        image, axes, o.n_segments, o.alpha, o.beta, o.nu, o.gamma, o.sigma, o.max_iter, o.enforce_connectivity,
        o.start_label,
    )  # fmt: skip
    return result


def _on_torch(image: Tensor, axis: int | None, o: _Options) -> tuple[Tensor, Tensor]:
    import torch

    _runtime.load_torch()
    if image.layout != torch.strided or image.device.type == "meta":
        raise TypeError(f"turbopixels: image must be a dense tensor with values, got {image.layout} on {image.device}")
    if image.dtype == torch.bfloat16:
        image = image.float()
    if str(image.dtype).removeprefix("torch.") not in _DTYPES:
        raise TypeError(f"turbopixels: image must be one of {', '.join(_DTYPES)} or bfloat16, got {image.dtype}")
    device = image.device
    batch = (image.unsqueeze(0) if axis is None else image.movedim(axis, 0)).unsqueeze(0)
    try:
        labels, count = torch.ops.pyseg.turbopixels(
            batch.detach().cpu(), o.n_segments, o.alpha, o.beta, o.nu, o.gamma, o.sigma, o.max_iter,
            o.enforce_connectivity, o.start_label,
        )  # fmt: skip
    except (RuntimeError, ValueError) as error:
        message = str(error).partition("\n")[0]
        if message.startswith("turbopixels: "):  # some versions of torch pass std::invalid_argument as a RuntimeError
            raise ValueError(message) from None
        raise
    return labels.squeeze(0).to(device), count.squeeze(0)


def turbopixels(
    image: Array,
    n_segments: int = 100,
    *,
    alpha: float = 0.3,
    beta: float = 1.0,
    nu: float = 10 / 127,
    gamma: float = 10.0,
    sigma: float | None = None,
    max_iter: int = 500,
    start_label: int = 0,
    channel_axis: int | None = -1,
    enforce_connectivity: bool = True,
    return_stats: bool = False,
) -> Any:
    """TurboPixels: regions that grow from seeds by a geometric flow, slow down at edges, and stop where they meet.

    They are compact and of similar size, at the cost of following edges less closely than :func:`pyseg.slic`. Fronts
    move with the velocity S_I S_B, S_I = (1 - alpha * curvature) * phi - beta * (N . grad phi), N the front's normal
    and phi = exp(-E / nu) the affinity, E = |grad I| / (G_sigma * |grad I| + gamma); S_B is 0 on the skeleton of the
    pixels not yet assigned. What the paper leaves open, :mod:`pyseg.reference.turbopixels` settles.

    Labels are dense (``start_label``, ``start_label`` + 1, ...), each is one 4-connected component, and they are
    bit-identical for any number of threads, any instruction set, and for NumPy and torch.

    Args:
        image: [H, W] or [H, W, C], any number of channels; uint8, uint16, float16, float32 or float64 (floats in
            [0, 1]); any strides; NumPy, CuPy, torch, or anything with ``__dlpack__``. |grad I| is the root of the mean
            over the channels of |grad|^2.
        n_segments: about how many superpixels; the seeds' grid has the nearest whole number of rows and columns. At
            or above the number of pixels, every pixel is its own.
        alpha: weight of curvature: smoother fronts. Above 1, steps are too long for it, and fronts are slower than S_I.
        beta: weight of the attraction to edges.
        nu: how much of E stops a front: less follows weaker edges, and takes longer. The default is the published
            code's; 0.03 follows edges better.
        gamma: the gradient that counts as none, in 1/255 of the range a pixel; keeps noise from being normalised.
        sigma: of the Gaussian that normalises the gradient, in pixels. None: 0.8 times a superpixel's side.
        max_iter: at most so many steps of the flow, which ends before when the assigned area grows by less than 10^-4
            of the image a step.
        start_label: the first label.
        channel_axis: which axis holds the channels; None for none. A 2-D array never has channels.
        enforce_connectivity: join components smaller than 1/16 of the mean area to the neighbour of nearest colour.
            False: labels are the seeds' regions, of any number of components (rarely more than one).
        return_stats: also return :class:`~pyseg.SuperpixelStats`.

    Returns:
        int32 labels [H, W], the same kind of array on the same device; never aliasing the input. With
        ``return_stats``, (labels, stats).

    Raises:
        ValueError: a value out of range, an empty image, NaN or infinite pixels.
        TypeError: an unsupported dtype or kind of argument.

    There is no GPU kernel: CuPy arrays and CUDA tensors are computed on the CPU and given back on the device.
    """
    options = _options(n_segments, alpha, beta, nu, gamma, sigma, max_iter, enforce_connectivity, start_label)
    labels: Any
    count: Any
    if is_torch(image):
        labels, count = _on_torch(image, _channel_axis(image.shape, channel_axis), options)
    else:
        array, back = to_numpy("turbopixels", "image", image)
        result, count = _on_numpy(array, _channel_axis(array.shape, channel_axis), options)
        labels = back(result)
    if not flag("turbopixels", "return_stats", return_stats):
        return labels
    stats = superpixel_stats(labels, image, n=int(count), start_label=options.start_label, channel_axis=channel_axis)
    return labels, stats
