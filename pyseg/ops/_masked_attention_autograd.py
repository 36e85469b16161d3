"""Fake kernels and gradients of ``torch.ops.pyseg.masked_attention``. Imported with the library."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pyseg.ops.masked_attention import chunks_of


@torch.library.register_fake("pyseg::mask_bitmap")  # type: ignore[untyped-decorator]
def _mask_bitmap(mask_logits: Tensor, height: Any, width: Any, threshold: float) -> Tensor:
    return mask_logits.new_empty([*mask_logits.shape[:2], chunks_of(height, width), 16], dtype=torch.int16)


@torch.library.register_fake("pyseg::mask_bits")  # type: ignore[untyped-decorator]
def _mask_bits(mask: Tensor, height: Any, width: Any) -> Tensor:
    return mask.new_empty([*mask.shape[:2], chunks_of(height, width), 16], dtype=torch.int16)


@torch.library.register_fake("pyseg::masked_attention")  # type: ignore[untyped-decorator]
def _masked_attention(
    q: Tensor, k: Tensor, v: Tensor, bits: Tensor, height: Any, width: Any, heads: int, empty_all: bool
) -> tuple[Tensor, Tensor]:
    return q.new_empty(q.shape), q.new_empty([q.shape[0], heads, q.shape[1]])


@torch.library.register_fake("pyseg::masked_attention_backward")  # type: ignore[untyped-decorator]
def _masked_attention_backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, bits: Tensor, out: Tensor, lse: Tensor, *rest: Any
) -> tuple[Tensor, Tensor, Tensor]:
    return q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, height, width, heads, empty_all = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(*tensors, *output)
    ctx.rest = (height, width, heads, empty_all)


def _backward(ctx: Any, grad: Tensor, _: Tensor | None) -> tuple[Any, ...]:
    grads = torch.ops.pyseg.masked_attention_backward(grad, *ctx.saved_tensors, *ctx.rest)
    return (*grads, None, None, None, None, None)


torch.library.register_autograd("pyseg::masked_attention", _backward, setup_context=_setup)
