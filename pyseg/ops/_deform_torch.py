"""deform_attention of torch tensors: the op on the CPU, ``grid_sample`` on other devices."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from pyseg import _runtime
from pyseg.ops.deform_attention import check_shapes

__all__ = ["by_grid_sample", "run"]

_OP = "deform_attention"
_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def run(value: Tensor, shapes: Any, starts: Any, reference: Any, places: Any, weights: Any) -> Tensor:
    """``places`` and ``weights``: offsets and logits beside reference points, else locations and weights."""
    names = ("sampling_locations", "attention_weights") if reference is None else ("offsets", "weight_logits")
    given = {"value": value, names[0]: places, names[1]: weights}
    if reference is not None:
        given["reference_points"] = reference
    for name, x in given.items():
        _check_tensor(name, x, value)
    sizes = _integers("spatial_shapes", shapes, 2)
    firsts = None if starts is None else _integers("level_start_index", starts, 1)
    check_shapes(
        value.shape, sizes.shape[0], None if reference is None else reference.shape, places.shape, weights.shape
    )
    if firsts is not None and firsts.shape[0] != sizes.shape[0]:
        raise ValueError(
            f"{_OP}: level_start_index must be [{sizes.shape[0]}] as spatial_shapes, got {list(firsts.shape)}"
        )
    if value.device.type != "cpu":
        return _elsewhere(value, shapes, starts, reference, places, weights)
    _runtime.load_torch()
    result: Tensor
    if reference is None:
        result = torch.ops.pyseg.deform_attention(value, sizes, firsts, places, weights)
    else:
        result = torch.ops.pyseg.deform_attention_fused(value, sizes, firsts, reference, places, weights)
    return result


def _check_tensor(name: str, x: Any, value: Tensor) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{_OP}: {name} must be a torch tensor as value is, got {type(x).__name__}")
    if x.layout != torch.strided or x.device.type == "meta":
        raise TypeError(f"{_OP}: {name} must be a dense tensor with values, got {x.layout} on {x.device}")
    if x.dtype not in _DTYPES:
        raise TypeError(f"{_OP}: {name} must be float32, float64, bfloat16 or float16, got {x.dtype}")
    if (x.dtype == torch.float64) != (value.dtype == torch.float64):
        raise TypeError(f"{_OP}: {name} must be float64 where value is, and only there; got {x.dtype}")
    if x.device != value.device:
        raise ValueError(f"{_OP}: {name} must be on {value.device} as value is, got {x.device}")


def _integers(name: str, x: Any, rank: int) -> Tensor:
    """int64 on the CPU."""
    rule = "[L, 2] (height, width)" if rank == 2 else "[L]"
    if not isinstance(x, Tensor):
        try:
            x = torch.as_tensor(x)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            raise TypeError(f"{_OP}: {name} must be integers, {rule}, got {x!r}") from None
        if x.numel() == 0:
            x = x.to(torch.int64).reshape(*((0, 2) if rank == 2 else (0,)))
    if x.dtype.is_floating_point or x.dtype.is_complex or x.dtype == torch.bool:
        raise TypeError(f"{_OP}: {name} must be integers, {rule}, got {x.dtype}")
    if x.layout != torch.strided or x.device.type == "meta":
        raise TypeError(f"{_OP}: {name} must be a dense tensor with values, got {x.layout} on {x.device}")
    if x.dim() != rank or (rank == 2 and x.shape[1] != 2):
        raise ValueError(f"{_OP}: {name} must be {rule}, got {list(x.shape)}")
    result: Tensor = x if x.dtype == torch.int64 else x.to(torch.int64)
    return result


# ---- other devices


def _elsewhere(value: Tensor, shapes: Any, starts: Any, reference: Any, places: Tensor, weights: Tensor) -> Tensor:
    sizes = [(int(h), int(w)) for h, w in (shapes.tolist() if isinstance(shapes, Tensor) else shapes)]
    firsts = None if starts is None else [int(i) for i in (starts.tolist() if isinstance(starts, Tensor) else starts)]
    pixels, start, ranges = value.shape[1], 0, []
    for level, (height, width) in enumerate(sizes):
        start = start if firsts is None else firsts[level]
        if height < 0 or width < 0 or start < 0 or start + height * width > pixels:
            raise ValueError(
                f"{_OP}: level {level} of {height} x {width} pixels from {start} on must be within value's {pixels}"
            )
        ranges.append((start, height, width))
        start += height * width
    if firsts is None and start != pixels:
        raise ValueError(f"{_OP}: value must have the {start} pixels that spatial_shapes add up to, got {pixels}")
    wide = torch.float64 if value.dtype == torch.float64 else torch.float32
    places, weights = places.to(wide), weights.to(wide)
    if reference is not None:
        base = reference.to(wide)[:, :, None, :, None]
        weights = weights.flatten(-2).softmax(-1).reshape(weights.shape)
        if reference.shape[-1] == 4:
            places = base[..., :2] + places / places.shape[4] * base[..., 2:] * 0.5
        else:
            places = base + places / places.new_tensor([[w, h] for h, w in sizes]).reshape(-1, 1, 2)
    return by_grid_sample(value.to(wide), ranges, places, weights).to(value.dtype)


def by_grid_sample(value: Tensor, ranges: list[tuple[int, int, int]], locations: Tensor, weights: Tensor) -> Tensor:
    """[B, Q, M * D] by one ``grid_sample`` a level of (first pixel, height, width); all of one dtype."""
    batch, _, heads, channels = value.shape
    queries, points = locations.shape[1], locations.shape[4]
    result = value.new_zeros(batch * heads, channels, queries)
    for level, (start, height, width) in enumerate(ranges):
        if height * width == 0 or points == 0:
            continue
        maps = value[:, start : start + height * width].permute(0, 2, 3, 1).reshape(-1, channels, height, width)
        grid = locations[:, :, :, level].transpose(1, 2).reshape(batch * heads, queries, points, 2)
        size = grid.new_tensor([width, height])
        pixel = grid * size - 0.5
        inside = ((pixel > -1) & (pixel < size)).all(-1)  # not so for what is no number
        # Far outside, a number: what grid_sample makes of others is left open.
        grid = torch.where(inside[..., None], 2 * grid - 1, grid.new_full((), -9.0))
        weight = weights[:, :, :, level].transpose(1, 2).reshape(batch * heads, 1, queries, points)
        weight = torch.where(inside[:, None], weight, weight.new_zeros(()))
        result = result + (grid_sample(maps, grid, align_corners=False) * weight).sum(-1)
    return result.reshape(batch, heads * channels, queries).transpose(1, 2).contiguous()
