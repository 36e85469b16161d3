"""Masked cross attention by its definition, in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["mask_of", "masked_attention"]


def _positions(size: int, out: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    at = np.clip((np.arange(out) + 0.5) * (size / out) - 0.5, 0, size - 1)
    first = np.floor(at).astype(np.int64)
    return first, np.minimum(first + 1, size - 1), at - first


def mask_of(mask_logits: NDArray[np.floating], size: tuple[int, int], threshold: float = 0.5) -> NDArray[np.bool_]:
    """bool [B, Q, H, W]: sigmoid of the logits [B, Q, h, w], resized bilinearly (corners not aligned), >= threshold."""
    x = mask_logits.astype(np.float64)
    first, second, part = _positions(x.shape[2], size[0])
    x = x[:, :, first] * (1 - part)[:, None] + x[:, :, second] * part[:, None]
    first, second, part = _positions(x.shape[3], size[1])
    x = x[..., first] * (1 - part) + x[..., second] * part
    return np.asarray(1 / (1 + np.exp(-x)) >= threshold)


def masked_attention(
    q: NDArray[np.floating],
    k: NDArray[np.floating],
    v: NDArray[np.floating],
    mask: NDArray[np.bool_],
    heads: int = 8,
    empty: str = "all",
) -> NDArray[np.float64]:
    """[B, Q, D] from q [B, Q, D], k, v [B, S, D] and mask [B, Q, S]: a query attends to the keys where it is True."""
    batch, queries, channels = q.shape
    dim = channels // heads
    out = np.zeros(q.shape, np.float64)
    for b in range(batch):
        for i in range(queries):
            inside = mask[b, i]
            if not inside.any():
                if empty == "zero":
                    continue
                inside = np.ones_like(inside)
            for h in range(heads):
                part = slice(h * dim, (h + 1) * dim)
                scores = k[b, inside, part].astype(np.float64) @ q[b, i, part].astype(np.float64) / np.sqrt(dim)
                if scores.size == 0:
                    continue
                weights = np.exp(scores - scores.max())
                out[b, i, part] = weights @ v[b, inside, part].astype(np.float64) / weights.sum()
    return out
