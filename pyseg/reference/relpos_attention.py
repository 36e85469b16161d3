"""Attention with decomposed relative positions by its definition (Li et al., "MViTv2", CVPR 2022, section 4.1)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def relpos_attention(
    q: NDArray[Any],
    k: NDArray[Any],
    v: NDArray[Any],
    rel_h: NDArray[Any],
    rel_w: NDArray[Any],
    size: tuple[int, int],
    scale: float | None = None,
) -> NDArray[np.float64]:
    """q, k, v [B, heads, H W, d], rel_h [2 H - 1, d], rel_w [2 W - 1, d], or of other lengths, which are interpolated
    between the centres of their elements. -> float64 [B, heads, H W, d].

    score_ij = scale q_i k_j + q_i rel_h[y_i - y_j + H - 1] + q_i rel_w[x_i - x_j + W - 1]
    out_i = softmax_j(score_ij) v_j
    """
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    y, x = np.divmod(np.arange(size[0] * size[1]), size[1])
    rows = _table(rel_h, size[0])[y[:, None] - np.arange(size[0]) + size[0] - 1]  # [H W, H, d]
    columns = _table(rel_w, size[1])[x[:, None] - np.arange(size[1]) + size[1] - 1]
    scores = (q.shape[-1] ** -0.5 if scale is None else scale) * (q @ k.swapaxes(-1, -2))
    of_y, of_x = np.einsum("bhic,iyc->bhiy", q, rows), np.einsum("bhic,ixc->bhix", q, columns)
    scores += of_y[..., y] + of_x[..., x]  # by the row and the column of key j
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    out: NDArray[np.float64] = weights / weights.sum(-1, keepdims=True) @ v
    return out


def _table(table: NDArray[Any], size: int) -> NDArray[np.float64]:
    centres = (np.arange(2 * size - 1) + 0.5) * len(table) / (2 * size - 1) - 0.5
    return np.stack([np.interp(centres, np.arange(len(table)), column.astype(np.float64)) for column in table.T], 1)
