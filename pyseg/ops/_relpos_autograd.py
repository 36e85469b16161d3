"""Fake kernels and autograd of ``torch.ops.pyseg.relpos_attention``, separate and packed. Imported with the library.

Here tensors are [B, N, heads, d], packed [B, N, 3, heads, d]. Norms are what the forward pass keeps of each query.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def _results(like: Tensor, rel_h: Tensor) -> tuple[Tensor, Tensor]:
    batch, pixels, heads, channels = (*like.shape[:2], *like.shape[-2:])
    norms = like.new_empty([batch, heads, pixels, 2], dtype=rel_h.dtype)
    return like.new_empty([batch, pixels, heads, channels]), norms


@torch.library.register_fake("pyseg::relpos_attention")  # type: ignore[untyped-decorator]
def _fake(q: Tensor, k: Tensor, v: Tensor, rel_h: Tensor, rel_w: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    return _results(q, rel_h)


@torch.library.register_fake("pyseg::relpos_attention_packed")  # type: ignore[untyped-decorator]
def _fake_packed(qkv: Tensor, rel_h: Tensor, rel_w: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    return _results(qkv, rel_h)


@torch.library.register_fake("pyseg::relpos_attention_backward")  # type: ignore[untyped-decorator]
def _fake_backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    rel_h: Tensor,
    rel_w: Tensor,
    out: Tensor,
    norms: Tensor,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    of_q, of_k, of_v = (q.new_empty(q.shape) for _ in range(3))
    return of_q, of_k, of_v, rel_h.new_empty(rel_h.shape), rel_w.new_empty(rel_w.shape)


@torch.library.register_fake("pyseg::relpos_attention_packed_backward")  # type: ignore[untyped-decorator]
def _fake_packed_backward(
    grad: Tensor, qkv: Tensor, rel_h: Tensor, rel_w: Tensor, out: Tensor, norms: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    return qkv.new_empty(qkv.shape), rel_h.new_empty(rel_h.shape), rel_w.new_empty(rel_w.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.scale = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors, *output)


def _backward(ctx: Any, grad: Tensor | None, _: Tensor | None) -> tuple[Any, ...]:
    if grad is None:
        return (None,) * (len(ctx.saved_tensors) - 1)
    ops, saved = torch.ops.pyseg, ctx.saved_tensors
    backward = ops.relpos_attention_backward if len(saved) == 7 else ops.relpos_attention_packed_backward
    return (*backward(grad, *saved, ctx.scale), None)


def _save_nothing(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    pass


def _twice(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
    raise NotImplementedError("relpos_attention: there are no second derivatives")


for _name in ("pyseg::relpos_attention", "pyseg::relpos_attention_packed"):
    torch.library.register_autograd(_name, _backward, setup_context=_save)
    torch.library.register_autograd(f"{_name}_backward", _twice, setup_context=_save_nothing)
