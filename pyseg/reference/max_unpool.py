"""Max-pooling with stored indices, and unpooling, window by window.

Window o of an axis runs over positions o * stride - padding + k * dilation, k = 0 .. kernel - 1, where those lie within
the array. Its maximum is found by going through them in raster order: a value takes over where it is larger than the
best so far, or is NaN. Unpooling goes through the windows in raster order as well, so that the last one stands.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["max_pool", "max_unpool"]

Ints = Sequence[int]


def max_pool(
    x: NDArray[Any],
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints | None = None,
    dilation: Ints | None = None,
    ceil_mode: bool = False,
    indices: str = "int64",
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Maxima of x [N, C, ...] and their places: in the plane ("int64", "int32"), or in the window ("uint8")."""
    dims = len(kernel_size)
    stride, padding, dilation = stride or kernel_size, padding or (0,) * dims, dilation or (1,) * dims
    size = x.shape[2:]
    pooled = []
    for n, k, s, p, d in zip(size, kernel_size, stride, padding, dilation, strict=True):
        reach = (k - 1) * d + 1
        count = len([o for o in range(n + 2 * p) if o * s + reach <= n + 2 * p])  # whole windows
        left_over = n + 2 * p - reach - (count - 1) * s
        if ceil_mode and left_over > 0 and count * s < n + p:  # one more, that begins within the array or before it
            count += 1
        pooled.append(count)
    y = np.empty((*x.shape[:2], *pooled), x.dtype)
    at = np.empty(y.shape, indices)
    for n, c in np.ndindex(x.shape[:2]):
        for o in np.ndindex(*pooled):
            best, place = None, -1
            for tap, position in _window(o, kernel_size, stride, padding, dilation):
                if not all(0 <= i < m for i, m in zip(position, size, strict=True)):
                    continue
                value = x[n, c][position]
                if best is None or value > best or np.isnan(value):
                    best = value
                    place = tap if indices == "uint8" else int(np.ravel_multi_index(position, size))
            if best is None:
                raise ValueError(f"max_pool: window {o} holds no pixel")
            y[n, c][o], at[n, c][o] = best, place
    return y, at


def max_unpool(
    y: NDArray[Any],
    indices: NDArray[Any],
    output_size: Ints,
    kernel_size: Ints | None = None,
    stride: Ints | None = None,
    padding: Ints | None = None,
    dilation: Ints | None = None,
) -> NDArray[Any]:
    """Zeros [N, C, *output_size] with the values of y where the indices say; uint8 ones need the windows."""
    x = np.zeros((*y.shape[:2], *output_size), y.dtype)
    for n, c in np.ndindex(y.shape[:2]):
        for o in np.ndindex(*y.shape[2:]):
            index = int(indices[n, c][o])
            if indices.dtype == np.uint8:
                assert kernel_size is not None
                dims = len(kernel_size)
                taps = dict(
                    _window(o, kernel_size, stride or kernel_size, padding or (0,) * dims, dilation or (1,) * dims)
                )
                position = taps.get(index, (-1,) * dims)
            else:
                inside = 0 <= index < np.prod(output_size)
                position = tuple(map(int, np.unravel_index(index, output_size))) if inside else (-1,)
            if not all(0 <= i < m for i, m in zip(position, output_size, strict=False)):
                raise IndexError(f"max_unpool: an index must be of a pixel in {list(output_size)}, got {index}")
            x[n, c][position] = y[n, c][o]
    return x


def _window(
    o: tuple[int, ...], kernel: Ints, stride: Ints, padding: Ints, dilation: Ints
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """(tap, position) in raster order, beyond the array too."""
    for tap, k in enumerate(itertools.product(*(range(n) for n in kernel))):
        yield tap, tuple(i * s - p + j * d for i, s, p, j, d in zip(o, stride, padding, k, dilation, strict=True))
