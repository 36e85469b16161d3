"""Windows, sizes and indices of max-pooling: the arguments of :mod:`pyseg.ops.max_unpool`, checked in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pyseg._check import integer

__all__ = [
    "MOST_TAPS",
    "PoolIndices",
    "Target",
    "Window",
    "default_size",
    "per_axis",
    "pooled_size",
    "target_size",
    "window_of",
    "window_of_indices",
]

MOST_TAPS = 256
_MOST = 2**40
AXES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}


class PoolIndices(NamedTuple):
    """Where the maxima stood: one byte each, and what they are to be read with.

    A tuple of a tensor (or NumPy array) and plain integers, so that torch.compile, torch.export, hooks and data
    loaders take it as it is; ``_replace(codes=...)`` puts another array in.

    Attributes:
        codes: uint8, of the shape of the pooled values; the tap of the window in raster order, (kd * kH + kh) * kW +
            kw.
        input_size: spatial size of what was pooled: what unpooling gives back.
        kernel_size, stride, padding, dilation: of the windows, one value an axis.
    """

    codes: Any
    input_size: tuple[int, ...]
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    @property
    def shape(self) -> Any:
        return self.codes.shape

    @property
    def dtype(self) -> Any:
        return self.codes.dtype

    def to(self, *args: Any, **kwargs: Any) -> PoolIndices:
        """With ``codes.to(...)``: another device."""
        return self._replace(codes=self.codes.to(*args, **kwargs))


class Window(NamedTuple):
    """Kernel, stride, padding and dilation, one value an axis."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    @property
    def taps(self) -> int:
        n = 1
        for k in self.kernel:
            n *= k
        return n

    def flat(self, dims: int) -> list[int]:
        """As the libraries take it, for ``dims`` axes: what is missing in front is of size 1."""
        missing = dims - len(self.kernel)
        fill = (1, 1, 0, 1)
        return [n for value, one in zip(self, fill, strict=True) for n in (one,) * missing + value]


class Target(NamedTuple):
    """The checked arguments of unpooling."""

    op: str
    window: Window
    size: list[int]
    windowed: bool  # places must lie in their windows
    relu: bool


def per_axis(op: str, name: str, value: Any, dims: int, low: int) -> tuple[int, ...]:
    """An integer for all axes, or one each."""
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__") or getattr(value, "ndim", 1) == 0:
        return (integer(op, name, value, low, _MOST),) * dims
    values = tuple(integer(op, name, v, low, _MOST) for v in value)
    if len(values) == 1:
        return values * dims
    if len(values) != dims:
        raise ValueError(f"{op}: {name} must be an integer or {dims}, one an axis, got {len(values)}")
    return values


def window_of(op: str, dims: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any = 1) -> Window:
    kernel = per_axis(op, "kernel_size", kernel_size, dims, 1)
    empty = stride is None or (hasattr(stride, "__len__") and len(stride) == 0)  # torch takes () for None
    window = Window(
        kernel,
        kernel if empty else per_axis(op, "stride", stride, dims, 1),
        per_axis(op, "padding", padding, dims, 0),
        per_axis(op, "dilation", dilation, dims, 1),
    )
    for k, p in zip(window.kernel, window.padding, strict=True):
        if 2 * p > k:
            raise ValueError(f"{op}: padding must be at most half of kernel_size, {k}, got {p}")
    return window


def window_of_indices(op: str, at: PoolIndices, dims: int) -> Window:
    """The windows of indices, which anyone may have put together."""
    for name in ("input_size", "kernel_size", "stride", "padding", "dilation"):
        values = getattr(at, name)
        # sizes are symbols while a graph is traced
        integers = isinstance(values, (tuple, list)) and all(
            isinstance(n, int) or type(n).__name__ == "SymInt" for n in values
        )
        if not integers:
            raise TypeError(f"{op}: indices.{name} must be {dims} integers, got {values!r}")
        if len(values) != dims:
            raise ValueError(f"{op}: indices.{name} must be {dims} integers, one an axis, got {len(values)}")
    return Window(tuple(at.kernel_size), tuple(at.stride), tuple(at.padding), tuple(at.dilation))


def pooled_size(op: str, size: Sequence[int], w: Window, ceil_mode: bool) -> list[int]:
    """The spatial size after pooling, as torch has it."""
    result = []
    for n, k, s, p, d in zip(size, *w, strict=True):
        room = n + 2 * p - (k - 1) * d - 1
        out = (room + (s - 1 if ceil_mode else 0)) // s + 1
        if ceil_mode and (out - 1) * s >= n + p:  # the last window begins in the padding to the right
            out -= 1
        if n <= 0 or out <= 0:
            raise ValueError(f"{op}: a window of {(k - 1) * d + 1} does not fit into {n} with padding {p}")
        result.append(out)
    return result


def default_size(size: Sequence[int], w: Window) -> list[int]:
    """torch's size after unpooling, where none is given."""
    return [(n - 1) * s - 2 * p + k for n, k, s, p in zip(size, w.kernel, w.stride, w.padding, strict=True)]


def target_size(op: str, small: Sequence[int], w: Window | None, output_size: Any, known: Any) -> list[int]:
    """The spatial size after unpooling: what was asked for, or what the indices know, or torch's default."""
    dims = len(small)
    if output_size is None:
        if known is not None:
            return list(known)
        if w is None:
            raise ValueError(f"{op}: kernel_size or output_size must be given with indices that are plain arrays")
        size = default_size(small, w)
        if any(n < 1 for n in size):
            raise ValueError(f"{op}: the unpooled size must be positive, got {size}: give output_size")
        return size
    if isinstance(output_size, (str, bytes)) or not hasattr(output_size, "__iter__"):
        raise TypeError(f"{op}: output_size must be {dims} integers, got {output_size!r}")
    size = list(output_size)
    if len(size) in (dims + 1, dims + 2):
        size = size[len(size) - dims :]
    if len(size) != dims:
        raise ValueError(f"{op}: output_size must be {dims} integers, or a whole shape, got {len(size)}")
    size = [integer(op, "output_size", n, 1, _MOST) for n in size]
    if known is not None:
        if size != list(known):
            raise ValueError(f"{op}: output_size must be the size that was pooled, {list(known)}, got {size}")
    elif w is not None:
        for n, best, s in zip(size, default_size(small, w), w.stride, strict=True):
            if not best - s < n < best + s:
                raise ValueError(f"{op}: output_size must be within {best - s + 1} .. {best + s - 1}, got {n}")
    return size
