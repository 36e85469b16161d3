"""Depthwise convolution, tap by tap, in float64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["depthwise_conv2d", "depthwise_conv2d_gradients"]

Floats = NDArray[np.float64]


def _taps(
    shape: Sequence[int], outputs: Sequence[int], kernel: Sequence[int], stride: Any, padding: Any, dilation: Any
) -> Any:
    """Of each tap inside: its place in the kernel, and the slices of outputs and of inputs that it connects."""
    for ky in range(kernel[0]):
        for kx in range(kernel[1]):
            out, into = [], []
            for axis, k in enumerate((ky, kx)):
                shift = k * dilation[axis] - padding[2 * axis]
                inside = [o for o in range(outputs[axis]) if 0 <= o * stride[axis] + shift < shape[axis]]
                if not inside:
                    break
                first, last = inside[0], inside[-1]
                out.append(slice(first, last + 1))
                into.append(slice(first * stride[axis] + shift, last * stride[axis] + shift + 1, stride[axis]))
            else:
                yield ky, kx, (..., *out), (..., *into)


def depthwise_conv2d(
    x: NDArray[Any],
    weight: NDArray[Any],
    bias: NDArray[Any] | None = None,
    *,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0, 0, 0),
    dilation: Sequence[int] = (1, 1),
    relu: bool = False,
) -> Floats:
    """See :func:`pyseg.depthwise_conv2d`. x [N, C, H, W], weight [C * m, 1, kh, kw], padding top, bottom, left, right.

    A tap outside the image does not count: it is no 0 to multiply with.
    """
    n, channels, height, width = x.shape
    count, _, kh, kw = weight.shape
    rows = (height + padding[0] + padding[1] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    columns = (width + padding[2] + padding[3] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    y = np.zeros((n, count, rows, columns)) + (0.0 if bias is None else bias.astype(float)[:, None, None])
    repeated = np.repeat(x.astype(float), count // channels, 1)
    for ky, kx, out, into in _taps((height, width), (rows, columns), (kh, kw), stride, padding, dilation):
        y[out] += repeated[into] * weight[:, 0, ky, kx].astype(float)[:, None, None]
    return np.where(y < 0, 0.0, y) if relu else y


def depthwise_conv2d_gradients(
    grad: NDArray[Any],
    x: NDArray[Any],
    weight: NDArray[Any],
    *,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0, 0, 0),
    dilation: Sequence[int] = (1, 1),
) -> tuple[Floats, Floats, Floats]:
    """Gradients with respect to x, weight and bias of the sum of grad * y, without relu."""
    n, channels, *shape = x.shape
    count, _, *kernel = weight.shape
    g = grad.astype(float)
    repeated = np.repeat(x.astype(float), count // channels, 1)
    of_x, of_weight = np.zeros((n, count, *shape)), np.zeros(weight.shape)
    for ky, kx, out, into in _taps(shape, grad.shape[2:], kernel, stride, padding, dilation):
        of_x[into] += g[out] * weight[:, 0, ky, kx].astype(float)[:, None, None]
        of_weight[:, 0, ky, kx] = (g[out] * repeated[into]).sum((0, 2, 3))
    return of_x.reshape(n, channels, count // channels, *shape).sum(2), of_weight, g.sum((0, 2, 3))
