"""SAM's attention as a layer, with the parameters of its image encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pyseg.ops.relpos_attention import relpos_attention_qkv

__all__ = ["RelPosAttention"]


class RelPosAttention(nn.Module):
    """Multi-head attention of a map with decomposed relative positions (Kirillov et al., "Segment Anything", ICCV
    2023): the ``Attention`` of SAM's image encoder with its relative positions, whose state_dict it takes.

    Args:
        dim: channels. num_heads: heads, of dim / num_heads channels.
        qkv_bias: whether the projection to q, k, v has a bias.
        input_size: (height, width) that the tables ``rel_pos_h`` and ``rel_pos_w`` are made for. For maps of another
            size they are interpolated.

    Shape:
        x [B, H, W, dim] -> [B, H, W, dim]. Windows are a batch.
    """

    def __init__(
        self, dim: int, num_heads: int = 8, *, qkv_bias: bool = True, input_size: Sequence[int] = (64, 64)
    ) -> None:
        super().__init__()
        if num_heads < 1 or dim % num_heads or dim < num_heads:
            raise ValueError(f"RelPosAttention: dim must be a multiple of num_heads, got {dim} and {num_heads}")
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)
        self.rel_pos_h, self.rel_pos_w = (nn.Parameter(torch.zeros(2 * n - 1, dim // num_heads)) for n in input_size)

    def forward(self, x: Tensor) -> Tensor:
        batch, height, width, channels = x.shape
        qkv = self.qkv(x).view(batch, height * width, 3, self.num_heads, channels // self.num_heads)
        out = relpos_attention_qkv(qkv, self.rel_pos_h, self.rel_pos_w, (height, width))
        projected: Tensor = self.proj(out.reshape(batch, height, width, channels))
        return projected

    def extra_repr(self) -> str:
        return f"num_heads={self.num_heads}, tables of {self.rel_pos_h.shape[0]} and {self.rel_pos_w.shape[0]}"
