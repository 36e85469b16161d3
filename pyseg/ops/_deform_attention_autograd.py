"""Fake kernels and autograd of ``torch.ops.pyseg.deform_attention`` and its fused form. Imported with the library."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def _result(value: Tensor, places: Tensor) -> Tensor:
    if value.dim() != 4 or places.dim() != 6:
        raise ValueError(
            f"deform_attention: value must be [B, S, M, D] and points [B, Q, M, L, P, 2], got {value.dim()} and "
            f"{places.dim()} dimensions"
        )
    return value.new_empty([value.shape[0], places.shape[1], value.shape[2] * value.shape[3]])


def _gradient(value: Tensor, like: Tensor, wanted: bool, own_type: bool = False) -> Tensor:
    wide = torch.float64 if value.dtype == torch.float64 else torch.float32
    return value.new_empty(like.shape if wanted else [0], dtype=value.dtype if own_type else wide)


@torch.library.register_fake("pyseg::deform_attention")  # type: ignore[untyped-decorator]
def _forward(value: Tensor, shapes: Tensor, starts: Tensor | None, locations: Tensor, weights: Tensor) -> Tensor:
    return _result(value, locations)


@torch.library.register_fake("pyseg::deform_attention_fused")  # type: ignore[untyped-decorator]
def _fused(
    value: Tensor, shapes: Tensor, starts: Tensor | None, reference: Tensor, offsets: Tensor, logits: Tensor
) -> Tensor:
    return _result(value, offsets)


@torch.library.register_fake("pyseg::deform_attention_backward")  # type: ignore[untyped-decorator]
def _backward_fake(
    grad: Tensor,
    value: Tensor,
    shapes: Tensor,
    starts: Tensor | None,
    locations: Tensor,
    weights: Tensor,
    of_value: bool,
    of_points: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    return (
        _gradient(value, value, of_value, True),
        _gradient(value, locations, of_points),
        _gradient(value, weights, of_points),
    )


@torch.library.register_fake("pyseg::deform_attention_fused_backward")  # type: ignore[untyped-decorator]
def _fused_backward_fake(
    grad: Tensor,
    value: Tensor,
    shapes: Tensor,
    starts: Tensor | None,
    reference: Tensor,
    offsets: Tensor,
    logits: Tensor,
    of_value: bool,
    of_points: bool,
    of_reference: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return (
        _gradient(value, value, of_value, True),
        _gradient(value, reference, of_reference),
        _gradient(value, offsets, of_points),
        _gradient(value, logits, of_points),
    )


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*(x for x in inputs if x is not None))
    ctx.starts = inputs[2] is not None


def _saved(ctx: Any) -> list[Any]:
    saved = list(ctx.saved_tensors)
    return saved if ctx.starts else [*saved[:2], None, *saved[2:]]


def _cast(gradient: Tensor, like: Tensor, wanted: bool) -> Tensor | None:
    return gradient.to(like.dtype) if wanted else None


def _backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    value, shapes, starts, locations, weights = _saved(ctx)
    of_value, _, _, of_locations, of_weights = ctx.needs_input_grad
    v, p, w = torch.ops.pyseg.deform_attention_backward(
        grad, value, shapes, starts, locations, weights, of_value, of_locations or of_weights
    )
    return v if of_value else None, None, None, _cast(p, locations, of_locations), _cast(w, weights, of_weights)


def _fused_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    value, shapes, starts, reference, offsets, logits = _saved(ctx)
    of_value, _, _, of_reference, of_offsets, of_logits = ctx.needs_input_grad
    v, r, p, w = torch.ops.pyseg.deform_attention_fused_backward(
        grad, value, shapes, starts, reference, offsets, logits, of_value, of_offsets or of_logits, of_reference
    )
    rest = (_cast(r, reference, of_reference), _cast(p, offsets, of_offsets), _cast(w, logits, of_logits))
    return v if of_value else None, None, None, *rest


torch.library.register_autograd("pyseg::deform_attention", _backward, setup_context=_setup)
torch.library.register_autograd("pyseg::deform_attention_fused", _fused_backward, setup_context=_setup)
