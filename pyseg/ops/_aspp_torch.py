"""``torch.ops.pyseg.aspp``: all branches of an ASPP into one concatenation of pixels, and its projection."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pyseg.ops._atrous_torch import empty_as, geometry_of, pack, run

_POINT = ((1, 1), (0, 0), (1, 1))  # stride, padding, dilation of a 1 x 1 convolution


def _branch(x: Tensor, weight: Tensor, scale: Tensor, shift: Tensor, rate: int, algorithm: str, out: Tensor) -> None:
    if weight.shape[2:] == (1, 1):
        geometry = geometry_of(weight, *_POINT, "direct")
    else:
        geometry = geometry_of(weight, (1, 1), (rate, rate), (rate, rate), algorithm)
    run(x, pack(weight, (x.shape[2], x.shape[3]), geometry), geometry, scale, shift, True, out)


def _pooled(x: Tensor, pool: list[Tensor]) -> Tensor:
    """[N, P]: the image's mean through the pooling branch."""
    weight, scale, shift = pool
    return torch.relu(x.mean((2, 3)) @ weight.flatten(1).T * scale + shift)


def _aspp(
    x: Tensor,
    weights: list[Tensor],
    scales: list[Tensor],
    shifts: list[Tensor],
    rates: list[int],
    pool: list[Tensor],
    project: list[Tensor],
    algorithm: str,
) -> Tensor:
    weight, scale, shift = project
    out = empty_as(x, [x.shape[0], weight.shape[0], *x.shape[2:]])
    if x.numel() == 0:
        return out
    pixels = x.contiguous(memory_format=torch.channels_last)
    widths = [w.shape[0] for w in weights]
    joined = torch.empty([x.shape[0], sum(widths), *x.shape[2:]], memory_format=torch.channels_last)
    parts = torch.split(joined, widths, 1)
    for part, w, a, b, rate in zip(parts, weights, scales, shifts, rates, strict=True):
        _branch(pixels, w, a, b, rate, algorithm, part)
    # What is the same in all pixels of an image is a shift of the projection.
    rest = weight[:, joined.shape[1] :, 0, 0]
    moved = shift.expand(x.shape[0], -1) if not pool else shift + scale * (_pooled(x, pool) @ rest.T)
    geometry = geometry_of(weight, *_POINT, "direct")
    packed = pack(weight, (x.shape[2], x.shape[3]), geometry, channels=joined.shape[1])
    for i in range(x.shape[0]):
        run(joined[i : i + 1], packed, geometry, scale, moved[i].contiguous(), True, out[i : i + 1])
    return out


torch.library.define(
    "pyseg::aspp",
    "(Tensor x, Tensor[] weights, Tensor[] scales, Tensor[] shifts, SymInt[] rates, Tensor[] pool, Tensor[] project, "
    "str algorithm) -> Tensor",
)
torch.library.impl("pyseg::aspp", "CPU", _aspp)


@torch.library.register_fake("pyseg::aspp")  # type: ignore[untyped-decorator]
def _fake(
    x: Tensor, weights: list[Tensor], scales: Any, shifts: Any, rates: Any, pool: Any, project: Any, algorithm: str
) -> Tensor:
    return empty_as(x, [x.shape[0], project[0].shape[0], *x.shape[2:]])
