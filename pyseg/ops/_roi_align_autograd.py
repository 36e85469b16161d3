"""Fake kernels and autograd of ``torch.ops.pyseg.roi_align``, which is linear. Imported with the library."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def _new(like: Tensor, batch: int, channels: int, height: int, width: int) -> Tensor:
    """In the order of ``like``, as the kernels make it."""
    if not like.is_contiguous() and like.is_contiguous(memory_format=torch.channels_last):
        return like.new_empty((batch, height, width, channels)).permute(0, 3, 1, 2)
    return like.new_empty((batch, channels, height, width))


@torch.library.register_fake("pyseg::roi_align")  # type: ignore[untyped-decorator]
def _roi_align(
    features: Tensor, boxes: Tensor, height: int, width: int, scale: float, sampling: int, aligned: bool
) -> Tensor:
    return _new(features, boxes.shape[0], features.shape[1], height, width)


@torch.library.register_fake("pyseg::roi_align_backward")  # type: ignore[untyped-decorator]
def _roi_align_backward(
    gradient: Tensor,
    boxes: Tensor,
    batch: int,
    map_height: int,
    map_width: int,
    scale: float,
    sampling: int,
    aligned: bool,
) -> Tensor:
    return _new(gradient, batch, gradient.shape[1], map_height, map_width)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    features, boxes, _, _, *ctx.rest = inputs
    ctx.save_for_backward(boxes)
    ctx.sizes = (features.shape[0], *features.shape[2:])


def _backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    (boxes,) = ctx.saved_tensors
    return torch.ops.pyseg.roi_align_backward(gradient, boxes, *ctx.sizes, *ctx.rest), *[None] * 6


def _setup_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    gradient, boxes, _, _, _, *ctx.rest = inputs
    ctx.save_for_backward(boxes)
    ctx.sizes = tuple(gradient.shape[2:])


def _backward_of_backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    (boxes,) = ctx.saved_tensors
    return torch.ops.pyseg.roi_align(gradient, boxes, *ctx.sizes, *ctx.rest), *[None] * 7


torch.library.register_autograd("pyseg::roi_align", _backward, setup_context=_setup)
torch.library.register_autograd("pyseg::roi_align_backward", _backward_of_backward, setup_context=_setup_backward)
