"""The definition of ``pyseg.deform_attention`` in plain torch: slow, and differentiable in everything that is a float.

Multi-scale deformable attention: Zhu et al., "Deformable DETR: Deformable Transformers for End-to-End Object
Detection", ICLR 2021, equation 3. A map of height h and width w has the value of pixel (column i, row j) at the point
(i, j); a location (u, v), usually in 0 .. 1, is the point x = u * w - 1/2, y = v * h - 1/2. The map is bilinear between
pixels and zero outside, so that it falls to zero over one pixel at its border. What lies a pixel or more outside, or is
no number, is zero and has no gradient, whatever the weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["deform_attention", "deform_attention_fused", "sample"]


def sample(maps: Tensor, height: int, width: int, x: Tensor, y: Tensor) -> Tensor:
    """Bilinear values of a map.

    Args:
        maps: [N, height * width, D].
        x, y: [N, n] columns and rows.

    Returns:
        [N, n, D].
    """
    import torch

    inside = (x > -1) & (x < width) & (y > -1) & (y < height)
    x, y = torch.where(inside, x, -2), torch.where(inside, y, -2)
    left, top = x.detach().floor().long(), y.detach().floor().long()
    result = maps.new_zeros(*x.shape, maps.shape[-1])
    for column, row in ((left, top), (left + 1, top), (left, top + 1), (left + 1, top + 1)):
        there = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        share = (1 - (x - column).abs()) * (1 - (y - row).abs())
        if not bool(there.any()):
            continue
        pixel = torch.where(there, row * width + column, 0)
        values = maps.gather(1, pixel[..., None].expand(-1, -1, maps.shape[-1]))
        result = result + torch.where(there[..., None], values * share[..., None], 0)
    return result


def deform_attention(
    value: Tensor,
    spatial_shapes: Sequence[Sequence[int]],
    sampling_locations: Tensor,
    attention_weights: Tensor,
    level_start_index: Sequence[int] | None = None,
) -> Tensor:
    """Weighted sums of samples.

    Args:
        value: [B, S, M, D], M heads of D channels; the pixels of all L maps, row by row.
        spatial_shapes: L pairs (height, width).
        sampling_locations: [B, Q, M, L, P, 2] as (u, v).
        attention_weights: [B, Q, M, L, P].
        level_start_index: the first pixel of each map; None: one map after the other.

    Returns:
        [B, Q, M * D].
    """
    import torch

    batch, _, heads, channels = value.shape
    queries, points = sampling_locations.shape[1], sampling_locations.shape[4]
    result = value.new_zeros(batch * heads, queries, channels)
    start = 0
    for level, (height, width) in enumerate(spatial_shapes):
        first = start if level_start_index is None else level_start_index[level]
        start = first + height * width
        maps = value[:, first:start].transpose(1, 2).reshape(batch * heads, height * width, channels)
        at = sampling_locations[:, :, :, level].transpose(1, 2).reshape(batch * heads, queries * points, 2)
        x, y = at[..., 0] * width - 0.5, at[..., 1] * height - 0.5
        weight = attention_weights[:, :, :, level].transpose(1, 2).reshape(batch * heads, queries * points, 1)
        weight = torch.where(((x > -1) & (x < width) & (y > -1) & (y < height))[..., None], weight, 0)
        if height * width > 0:
            samples = sample(maps, height, width, x, y) * weight
            result = result + samples.reshape(batch * heads, queries, points, channels).sum(2)
    return result.reshape(batch, heads, queries, channels).transpose(1, 2).reshape(batch, queries, heads * channels)


def deform_attention_fused(
    value: Tensor,
    spatial_shapes: Sequence[Sequence[int]],
    reference_points: Tensor,
    offsets: Tensor,
    weight_logits: Tensor,
    level_start_index: Sequence[int] | None = None,
) -> Tensor:
    """:func:`deform_attention` from what a network gives.

    Args:
        reference_points: [B, Q, L, 2] points (u, v), or [B, Q, L, 4] boxes (u, v, width, height), in shares of the map.
        offsets: [B, Q, M, L, P, 2], in pixels of the map; with boxes, in P-ths of half the box.
        weight_logits: [B, Q, M, L, P]; the weights are their softmax over L and P together.
    """
    weights = weight_logits.flatten(-2).softmax(-1).reshape(weight_logits.shape)
    return deform_attention(
        value, spatial_shapes, locations(spatial_shapes, reference_points, offsets), weights, level_start_index
    )


def locations(spatial_shapes: Sequence[Sequence[int]], reference_points: Tensor, offsets: Tensor) -> Any:
    """[B, Q, M, L, P, 2] as (u, v)."""
    base = reference_points[:, :, None, :, None]
    if reference_points.shape[-1] == 4:
        return base[..., :2] + offsets / offsets.shape[4] * base[..., 2:] * 0.5
    sizes = offsets.new_tensor([[width, height] for height, width in spatial_shapes]).reshape(-1, 1, 2)
    return base + offsets / sizes
