"""Atrous convolution by its definition (Chen et al., "DeepLab", TPAMI 2018, section 3.1), in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def atrous_conv2d(
    x: NDArray[Any],
    weight: NDArray[Any],
    bias: NDArray[Any] | None = None,
    *,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
) -> NDArray[np.float64]:
    """y[n, o, i, j] = bias[o] + sum_{c, a, b} weight[o, c, a, b] padded[n, c, i s + a r, j s + b r].

    x [N, C, H, W], weight [O, C / groups, kh, kw] -> float64 [N, O, OH, OW]; group g has the g-th part of C and of O.
    """
    outputs, depth, *kernel = weight.shape
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    size = [(padded.shape[2 + axis] - dilation[axis] * (kernel[axis] - 1) - 1) // stride[axis] + 1 for axis in range(2)]
    y = np.zeros((x.shape[0], outputs, *size))
    part = outputs // groups
    for g in range(groups):
        channels, mine = slice(g * depth, (g + 1) * depth), slice(g * part, (g + 1) * part)
        for a in range(kernel[0]):
            for b in range(kernel[1]):
                top, left = a * dilation[0], b * dilation[1]
                rows = slice(top, top + (size[0] - 1) * stride[0] + 1, stride[0])
                columns = slice(left, left + (size[1] - 1) * stride[1] + 1, stride[1])
                taps = weight[mine, :, a, b].astype(np.float64)
                y[:, mine] += np.einsum("oc,nchw->nohw", taps, padded[:, channels, rows, columns])
    if bias is not None:
        y += bias.astype(np.float64)[None, :, None, None]
    return y
