"""relpos_attention of torch tensors: the op on the CPU, SDPA with the whole bias on other devices."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pyseg import _runtime

__all__ = ["bias", "run", "run_packed", "table_of"]

_OP = "relpos_attention"
_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def run(q: Tensor, k: Tensor, v: Tensor, rel_h: Tensor, rel_w: Tensor, height: int, width: int, scale: float) -> Tensor:
    """[B, heads, H W, d] of tensors of that shape."""
    for name, x in (("q", q), ("k", k), ("v", v)):
        _check(name, x, q)
    of_y = table_of(_check_table("rel_h", rel_h, q), height)
    of_x = table_of(_check_table("rel_w", rel_w, q), width)
    if q.device.type != "cpu":
        whole = bias(q, of_y.to(q.dtype), of_x.to(q.dtype), height, width)
        return F.scaled_dot_product_attention(q, k, v, whole, scale=scale)
    _runtime.load_torch()
    out, _ = torch.ops.pyseg.relpos_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), of_y, of_x, scale
    )
    return out.transpose(1, 2)  # type: ignore[no-any-return]


def run_packed(qkv: Tensor, rel_h: Tensor, rel_w: Tensor, height: int, width: int, scale: float) -> Tensor:
    """[B, H W, heads, d] of qkv [B, H W, 3, heads, d]."""
    if qkv.device.type != "cpu":
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        return run(q, k, v, rel_h, rel_w, height, width, scale).transpose(1, 2)
    _check("qkv", qkv, qkv)
    of_y = table_of(_check_table("rel_h", rel_h, qkv), height)
    of_x = table_of(_check_table("rel_w", rel_w, qkv), width)
    _runtime.load_torch()
    out, _ = torch.ops.pyseg.relpos_attention_packed(qkv, of_y, of_x, scale)
    return out  # type: ignore[no-any-return]


def table_of(table: Tensor, size: int) -> Tensor:
    """The table of the length that the size needs, as SAM's ``get_rel_pos`` interpolates it."""
    if table.shape[0] == 2 * size - 1:
        return table
    return F.interpolate(table.T[None], size=2 * size - 1, mode="linear")[0].T


def bias(q: Tensor, rel_h: Tensor, rel_w: Tensor, height: int, width: int) -> Tensor:
    """The whole of it, [B, heads, H W, H W]."""
    batch, heads, pixels, channels = q.shape

    def between(n: int) -> Tensor:
        at = torch.arange(n, device=q.device)
        return at[:, None] - at[None] + n - 1

    rows = q.reshape(batch * heads, height, width, channels)
    of_y = torch.einsum("byxc,ykc->byxk", rows, rel_h[between(height)])
    of_x = torch.einsum("byxc,xkc->byxk", rows, rel_w[between(width)])
    return (of_y[..., :, None] + of_x[..., None, :]).reshape(batch, heads, pixels, pixels)


def _check(name: str, x: Any, q: Tensor) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{_OP}: {name} must be a torch tensor as q is, got {type(x).__name__}")
    if x.layout != torch.strided or x.device.type == "meta":
        raise TypeError(f"{_OP}: {name} must be a dense tensor with values, got {x.layout} on {x.device}")
    if x.dtype not in _DTYPES:
        raise TypeError(f"{_OP}: {name} must be float32, float64, bfloat16 or float16, got {x.dtype}")
    if x.dtype != q.dtype:
        raise TypeError(f"{_OP}: {name} must be of q's dtype, {q.dtype}, got {x.dtype}")
    if x.device != q.device:
        raise ValueError(f"{_OP}: {name} must be on {q.device} as q is, got {x.device}")


def _check_table(name: str, x: Tensor, q: Tensor) -> Tensor:
    """The table in the type that its gradient is summed in."""
    wide = torch.float64 if q.dtype == torch.float64 else torch.float32
    if x.dtype not in _DTYPES or (x.dtype == torch.float64) != (q.dtype == torch.float64):
        raise TypeError(f"{_OP}: {name} must be float64 where q is, else float32 or half precision, got {x.dtype}")
    if x.layout != torch.strided or x.device != q.device:
        raise ValueError(f"{_OP}: {name} must be a dense tensor on {q.device} as q is, got {x.layout} on {x.device}")
    return x.to(wide)
