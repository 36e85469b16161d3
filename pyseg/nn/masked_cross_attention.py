"""Masked cross attention as a layer, with the parameters of ``torch.nn.MultiheadAttention``."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from pyseg.ops.masked_attention import masked_attention

__all__ = ["MaskedCrossAttention"]


class MaskedCrossAttention(nn.MultiheadAttention):
    """The cross attention of Mask2Former's decoder: projections around :func:`pyseg.masked_attention`.

    Parameters, their names and their initial values are those of ``torch.nn.MultiheadAttention(embed_dim, num_heads)``:
    checkpoints load unchanged. There is no dropout, and no attention weights are given back.

    Args:
        embed_dim: D. num_heads: into which it is cut.
        bias: of the projections.
        empty: a query with an empty mask attends to "all" keys, or gives "zero".

    Shape:
        query [B, Q, D], key and value [B, S, D] -> [B, Q, D]. Positions are added by the caller, as in Mask2Former: to
        query and key.
    """

    def __init__(self, embed_dim: int, num_heads: int, bias: bool = True, *, empty: str = "all") -> None:
        super().__init__(embed_dim, num_heads, bias=bias, batch_first=True)
        if empty not in ("all", "zero"):
            raise ValueError(f"MaskedCrossAttention: empty must be 'all' or 'zero', got {empty!r}")
        self.empty = empty

    def forward(  # type: ignore[override]
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask_logits: Tensor | None = None,
        *,
        size: Sequence[int] | None = None,
        threshold: float = 0.5,
        attn_mask: Tensor | None = None,
    ) -> Tensor:
        """Masks are those of :func:`pyseg.masked_attention`: logits to be resized to ``size``, or ``attn_mask``, a
        bitmap or True where a query attends."""
        weights = self.in_proj_weight.chunk(3)
        biases = (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        q, k, v = (
            F.linear(x, weight, bias) for x, weight, bias in zip((query, key, value), weights, biases, strict=True)
        )
        attended: Tensor = masked_attention(
            q,
            k,
            v,
            mask_logits,
            size=size,
            heads=self.num_heads,
            threshold=threshold,
            empty=self.empty,
            attn_mask=attn_mask,
        )
        return F.linear(attended, self.out_proj.weight, self.out_proj.bias)
