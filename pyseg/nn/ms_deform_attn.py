"""Multi-scale deformable attention as a layer (Zhu et al., "Deformable DETR", ICLR 2021)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pyseg._check import integer
from pyseg.ops.deform_attention import deform_attention_fused

__all__ = ["MSDeformAttn"]


class MSDeformAttn(nn.Module):
    """Deformable DETR's and Mask2Former's ``MSDeformAttn``: its names, initialisation and ``state_dict``.

    Args:
        d_model: channels of queries and feature maps.
        n_levels: feature maps.
        n_heads: heads; divides ``d_model``.
        n_points: samples of each head on each map.

    Shape:
        query [B, Q, d_model]; reference_points [B, Q, L, 2] (x, y) from 0 to 1, or [B, Q, L, 4] boxes (x, y, width,
        height); input_flatten [B, S, d_model]; input_spatial_shapes [L, 2] (height, width), or a list of pairs;
        input_level_start_index [L] or None; input_padding_mask bool [B, S], True where there is no picture ->
        [B, Q, d_model].

    Raises:
        ValueError, TypeError: as :func:`pyseg.deform_attention`; ``n_heads`` that does not divide ``d_model``.

    Softmax and locations are computed in the kernel, in float32 also under autocast, where only the projections are in
    half precision.
    """

    def __init__(self, d_model: int = 256, n_levels: int = 4, n_heads: int = 8, n_points: int = 4) -> None:
        super().__init__()
        sizes = {"d_model": d_model, "n_levels": n_levels, "n_heads": n_heads, "n_points": n_points}
        for name, size in sizes.items():
            integer("MSDeformAttn", name, size, 1)
        if d_model % n_heads != 0:
            raise ValueError(f"MSDeformAttn: n_heads must divide d_model, got {n_heads} and {d_model}")
        self.im2col_step = 128  # the official module has it; it means nothing here
        self.d_model, self.n_levels, self.n_heads, self.n_points = d_model, n_levels, n_heads, n_points
        self.sampling_offsets = nn.Linear(d_model, n_heads * n_levels * n_points * 2)
        self.attention_weights = nn.Linear(d_model, n_heads * n_levels * n_points)
        self.value_proj = nn.Linear(d_model, d_model)
        self.output_proj = nn.Linear(d_model, d_model)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Head m looks in direction 2 pi m / M, point p at the square of half side p + 1."""
        with torch.no_grad():
            nn.init.zeros_(self.sampling_offsets.weight)
            angles = torch.arange(self.n_heads, dtype=torch.float32) * (2.0 * math.pi / self.n_heads)
            steps = torch.stack([angles.cos(), angles.sin()], -1)
            steps = steps / steps.abs().max(-1, keepdim=True)[0]
            far = torch.arange(1, self.n_points + 1, dtype=torch.float32).reshape(1, 1, -1, 1)
            bias = steps.reshape(-1, 1, 1, 2) * far.expand(-1, self.n_levels, -1, -1)
            self.sampling_offsets.bias.copy_(bias.reshape(-1))
            nn.init.zeros_(self.attention_weights.weight)
            nn.init.zeros_(self.attention_weights.bias)
            for projection in (self.value_proj, self.output_proj):
                nn.init.xavier_uniform_(projection.weight)
                nn.init.zeros_(projection.bias)

    def forward(
        self,
        query: Tensor,
        reference_points: Tensor,
        input_flatten: Tensor,
        input_spatial_shapes: Tensor | Sequence[tuple[int, int]],
        input_level_start_index: Tensor | Sequence[int] | None = None,
        input_padding_mask: Tensor | None = None,
    ) -> Tensor:
        """[B, Q, d_model]."""
        for name, x in (("query", query), ("input_flatten", input_flatten)):
            if x.dim() != 3 or x.shape[2] != self.d_model:
                raise ValueError(f"MSDeformAttn: {name} must be [B, n, {self.d_model}], got {list(x.shape)}")
        batch, queries, _ = query.shape
        value = self.value_proj(input_flatten)
        if input_padding_mask is not None:
            if input_padding_mask.shape != input_flatten.shape[:2]:
                raise ValueError(
                    f"MSDeformAttn: input_padding_mask must be {list(input_flatten.shape[:2])}, "
                    f"got {list(input_padding_mask.shape)}"
                )
            value = value.masked_fill(input_padding_mask[..., None], 0.0)
        samples = (self.n_heads, self.n_levels, self.n_points)
        result = deform_attention_fused(
            value.reshape(batch, -1, self.n_heads, self.d_model // self.n_heads),
            input_spatial_shapes,
            reference_points,
            self.sampling_offsets(query).reshape(batch, queries, *samples, 2),
            self.attention_weights(query).reshape(batch, queries, *samples),
            level_start_index=input_level_start_index,
        )
        attended: Tensor = self.output_proj(result)
        return attended

    def extra_repr(self) -> str:
        return f"d_model={self.d_model}, n_levels={self.n_levels}, n_heads={self.n_heads}, n_points={self.n_points}"
