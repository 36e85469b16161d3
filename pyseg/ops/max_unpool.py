"""Max-pooling with stored indices, and unpooling: SegNet (Badrinarayanan, Kendall, Cipolla, TPAMI 2017), DeconvNet
(Noh, Hong, Han, ICCV 2015)."""

from __future__ import annotations

import functools
from typing import Any

from pyseg._arrays import Array, is_torch, to_numpy
from pyseg._check import flag
from pyseg.ops import _max_unpool_numpy
from pyseg.ops._max_unpool_window import (
    MOST_TAPS,
    PoolIndices,
    Target,
    Window,
    pooled_size,
    target_size,
    window_of,
    window_of_indices,
)

__all__ = [
    "PoolIndices",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
]

KINDS = ("uint8", "int32", "int64")


def max_pool2d(
    x: Array,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    indices: str = "uint8",
) -> tuple[Any, Any]:
    """The maximum of every window, and where it stood. Values are torch's ``max_pool2d``'s.

    Of equal values the first in the window stands; NaN is larger than any number.

    Args:
        x: [N, C, H, W] or [C, H, W] (:func:`max_pool1d`: [N, C, L]; :func:`max_pool3d`: [N, C, D, H, W]), any strides;
            float16, bfloat16, float32 or float64; torch or NumPy. channels_last tensors give channels_last results.
        kernel_size, stride, padding, dilation: an integer, or one an axis. stride None: the kernel's size. Padding
            (with what is smaller than anything) is at most half of the kernel.
        ceil_mode: windows may reach beyond the end.
        indices: "uint8": the place in the window, in one byte, for kernels of at most 256 taps. "int64" or "int32": the
            place in the plane, h * W + w, as torch's ``return_indices`` gives it.

    Returns:
        (y, indices): y [N, C, Ho, Wo]; indices of the same shape. With "uint8" they are :class:`PoolIndices`, which
        know the size that was pooled; their ``codes`` are the plain uint8 array.

    Raises:
        ValueError: windows that do not fit, hold no pixel, or have too many taps.
        TypeError: unsupported dtypes or kinds of argument.

    Differentiable any number of times, deterministic, the same bits for any number of threads and any instruction set.
    CUDA tensors and CuPy arrays are computed on the CPU and given back on the device.
    """
    return _pool("max_pool2d", 2, x, kernel_size, stride, padding, dilation, ceil_mode, indices)


def max_pool1d(
    x: Array,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    indices: str = "uint8",
) -> tuple[Any, Any]:
    """:func:`max_pool2d` for [N, C, L] or [C, L]."""
    return _pool("max_pool1d", 1, x, kernel_size, stride, padding, dilation, ceil_mode, indices)


def max_pool3d(
    x: Array,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    indices: str = "uint8",
) -> tuple[Any, Any]:
    """:func:`max_pool2d` for [N, C, D, H, W] or [C, D, H, W]."""
    return _pool("max_pool3d", 3, x, kernel_size, stride, padding, dilation, ceil_mode, indices)


def max_unpool2d(
    y: Array,
    indices: Any,
    kernel_size: Any = None,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
    out: Array | None = None,
    *,
    scale: Array | None = None,
    shift: Array | None = None,
    activation: str | None = None,
) -> Any:
    """Puts values back to where maxima stood, zeros elsewhere. Values are torch's ``max_unpool2d``'s.

    Where two windows have the same maximum the later one's value stands, as in torch on one thread; the gradient
    reaches both, as in torch.

    Args:
        y: [N, C, Ho, Wo] or [C, Ho, Wo] (:func:`max_unpool1d`, :func:`max_unpool3d`: one spatial axis, or three).
        indices: of the same shape, from :func:`max_pool2d` or from torch: :class:`PoolIndices`, int64 or int32 places
            in the plane, or their plain uint8 ``codes`` (with ``kernel_size``, ``stride`` and ``padding``).
        kernel_size, stride, padding: of the pooling. :class:`PoolIndices` know them; given as well, they must agree.
        output_size: the size that was pooled, [H, W] or a whole shape. None: what the indices know, or else torch's
            (Ho - 1) * stride - 2 * padding + kernel_size; then places must lie in their windows, because a size that is
            off by one would silently put all but the first row elsewhere.
        out: where to write, of the result's shape and dtype; saves the page faults of fresh memory. Without gradients.
        scale, shift: [C]: the result becomes result * scale + shift, zeros included (batch normalisation of a network
            that is not being trained), computed in float32 and rounded once.
        activation: None or "relu", after that.

    Returns:
        [N, C, H, W] in y's memory format, or ``out``.

    Raises:
        IndexError: an index that is out of range: it is never followed, here or in a gradient.
        ValueError: sizes that do not agree, or indices outside their windows.
        TypeError: unsupported dtypes or kinds of argument.
    """
    return _unpool(
        "max_unpool2d", 2, y, indices, kernel_size, stride, padding, output_size, out, scale, shift, activation
    )


def max_unpool1d(
    y: Array,
    indices: Any,
    kernel_size: Any = None,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
    out: Array | None = None,
    *,
    scale: Array | None = None,
    shift: Array | None = None,
    activation: str | None = None,
) -> Any:
    """:func:`max_unpool2d` for [N, C, L] or [C, L]."""
    return _unpool(
        "max_unpool1d", 1, y, indices, kernel_size, stride, padding, output_size, out, scale, shift, activation
    )


def max_unpool3d(
    y: Array,
    indices: Any,
    kernel_size: Any = None,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
    out: Array | None = None,
    *,
    scale: Array | None = None,
    shift: Array | None = None,
    activation: str | None = None,
) -> Any:
    """:func:`max_unpool2d` for [N, C, D, H, W] or [C, D, H, W]."""
    return _unpool(
        "max_unpool3d", 3, y, indices, kernel_size, stride, padding, output_size, out, scale, shift, activation
    )


def _spatial(op: str, name: str, x: Any, dims: int) -> tuple[int, ...]:
    if len(x.shape) not in (dims + 1, dims + 2):
        axes = ["L"] if dims == 1 else ["H", "W"] if dims == 2 else ["D", "H", "W"]
        rule = f"[N, C, {', '.join(axes)}] or [C, {', '.join(axes)}]"
        raise ValueError(f"{op}: {name} must be {rule}, got {list(x.shape)}")
    return tuple(x.shape[len(x.shape) - dims :])


def _pool(
    op: str, dims: int, x: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: Any, indices: Any
) -> tuple[Any, Any]:
    if indices not in KINDS:
        raise ValueError(f"{op}: indices must be 'uint8', 'int32' or 'int64', got {indices!r}")
    w = window_of(op, dims, kernel_size, stride, padding, dilation)
    ceil = flag(op, "ceil_mode", ceil_mode)
    if indices == "uint8" and w.taps > MOST_TAPS:
        raise ValueError(f"{op}: indices='uint8' needs at most 256 taps, got {w.taps}: use 'int64'")
    if is_torch(x):
        from pyseg.ops import _max_unpool_torch

        size = _spatial(op, "x", x, dims)
        pooled_size(op, size, w, ceil)
        y, at = _max_unpool_torch.pool(op, x, w, ceil, KINDS.index(indices))
    else:
        array, back = to_numpy(op, "x", x)
        size = _spatial(op, "x", array, dims)
        pooled_size(op, size, w, ceil)
        y, at = map(back, _max_unpool_numpy.pool(op, array, w, ceil, KINDS.index(indices)))
    return (y, PoolIndices(at, size, *w)) if indices == "uint8" else (y, at)


def _target(
    op: str, dims: int, small: Any, at: Any, kernel_size: Any, stride: Any, padding: Any, output_size: Any,
    activation: Any,
) -> Target:  # fmt: skip
    if activation not in (None, "relu"):
        raise ValueError(f"{op}: activation must be None or 'relu', got {activation!r}")
    known = isinstance(at, PoolIndices)
    if kernel_size is not None:
        given = window_of(op, dims, kernel_size, stride, padding)
        window = given
    if known:
        window = window_of_indices(op, at, dims)
        if kernel_size is not None and given[:3] != window[:3]:
            raise ValueError(
                f"{op}: kernel_size, stride and padding must be those of the indices, {tuple(window[:3])}, "
                f"got {tuple(given[:3])}"
            )
    elif kernel_size is None:
        window = Window((1,) * dims, (1,) * dims, (0,) * dims, (1,) * dims)
    codes = at.codes if known else at
    kind = str(getattr(codes, "dtype", type(codes).__name__)).removeprefix("torch.")
    if kind not in KINDS:
        raise TypeError(f"{op}: indices must be uint8, int32 or int64, or of max_pool{dims}d, got {kind}")
    if kind == "uint8" and not known and kernel_size is None:
        raise ValueError(f"{op}: kernel_size must be given with plain uint8 indices")
    if list(codes.shape) != list(small.shape):
        raise ValueError(f"{op}: indices must have y's shape {list(small.shape)}, got {list(codes.shape)}")
    shape = _spatial(op, "y", small, dims)
    size = target_size(
        op, shape, None if kernel_size is None and not known else window, output_size, at.input_size if known else None
    )
    return Target(op, window, size, kind != "uint8" and output_size is None, activation == "relu")


def _unpool(
    op: str, dims: int, y: Any, indices: Any, kernel_size: Any, stride: Any, padding: Any, output_size: Any, out: Any,
    scale: Any, shift: Any, activation: Any,
) -> Any:  # fmt: skip
    target = functools.partial(
        _target, op, dims, kernel_size=kernel_size, stride=stride, padding=padding, output_size=output_size,
        activation=activation,
    )  # fmt: skip
    if is_torch(y):
        from pyseg.ops import _max_unpool_torch

        t = target(y, indices)
        codes = indices.codes if isinstance(indices, PoolIndices) else indices
        return _max_unpool_torch.unpool(y, codes, t, out, scale, shift)
    array, back = to_numpy(op, "y", y)
    known = isinstance(indices, PoolIndices)
    codes, _ = to_numpy(op, "indices", indices.codes if known else indices)
    t = target(array, indices._replace(codes=codes) if known else codes)
    result = _max_unpool_numpy.unpool(array, codes, t, out, scale, shift)
    return out if out is not None else back(result)
