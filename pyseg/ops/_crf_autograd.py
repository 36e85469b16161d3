"""Fake kernels and autograd of ``torch.ops.pyseg.dense_crf``. Imported with the library."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


@torch.library.register_fake("pyseg::dense_crf")  # type: ignore[untyped-decorator]
def _dense_crf(unary: Tensor, image: Tensor | None, features: list[Tensor], *rest: Any) -> Tensor:
    if unary.dim() not in (3, 4, 5):
        raise ValueError(f"dense_crf: unary must be [B, K, ...] with 1 to 3 spatial axes, got {unary.dim()} dimensions")
    return unary.new_empty(unary.shape, dtype=torch.float32)


@torch.library.register_fake("pyseg::dense_crf_backward")  # type: ignore[untyped-decorator]
def _dense_crf_backward(
    grad: Tensor,
    unary: Tensor,
    image: Tensor | None,
    features: list[Tensor],
    given: list[int],
    spatial: list[float],
    colored: list[int],
    color: list[float],
    compat: list[Tensor],
    *rest: Any,
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    def like(t: Tensor) -> Tensor:
        return t.new_empty(t.shape, dtype=torch.float32)

    return like(unary), [like(f) for f in features], [like(c) for c in compat]


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    unary, image, features, given, spatial, colored, color, compat, normalization, kind, n_iter, _ = inputs
    ctx.save_for_backward(unary, *([] if image is None else [image]), *features, *compat)
    ctx.counts = (image is not None, len(features))
    ctx.rest = (given, spatial, colored, color, normalization, kind, n_iter)


def _backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    given, spatial, colored, color, normalization, kind, n_iter = ctx.rest
    if kind != 0:
        raise ValueError("dense_crf: gradients are with respect to energies: unary_kind must be 0")
    with_image, count = ctx.counts
    unary, *others = ctx.saved_tensors
    image = others.pop(0) if with_image else None
    features, compat = others[:count], others[count:]
    need_features = any(f.requires_grad for f in features)
    of_unary, of_features, of_compat = torch.ops.pyseg.dense_crf_backward(
        grad, unary, image, features, given, spatial, colored, color, compat, normalization, n_iter, need_features
    )

    def nothing(values: list[Any]) -> list[Any] | None:
        return None if values else []  # an empty list passes for one of tensors

    before = (nothing(given), nothing(spatial), nothing(colored), nothing(color))
    return of_unary, None, of_features, *before, of_compat, nothing(normalization), None, None, None


torch.library.register_autograd("pyseg::dense_crf", _backward, setup_context=_setup)
