"""Fake kernels and autograd of ``torch.ops.pyseg.depthwise_conv2d`` and its gradients. Imported with the library.

The gradients are bilinear in what they take, and each other's gradients in turn: derivatives of every order are made of
the same three kernels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_OP = "depthwise_conv2d"
Ints = list[int]


def _empty_as(like: Tensor, shape: Any) -> Tensor:
    last = not like.is_contiguous() and like.stride(1) == 1 and like.shape[1] > 1
    memory_format = torch.channels_last if last else torch.contiguous_format
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=memory_format)


@torch.library.register_fake("pyseg::depthwise_conv2d")  # type: ignore[untyped-decorator]
def _forward_fake(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Ints, padding: Ints, dilation: Ints, relu: bool
) -> Tensor:
    if x.dim() != 4 or weight.dim() != 4:
        raise ValueError(f"{_OP}: x and weight must have 4 dimensions, got {x.dim()} and {weight.dim()}")
    top, bottom, left, right = padding if len(padding) == 4 else (padding[0], padding[0], padding[1], padding[1])
    height = (x.shape[2] + top + bottom - dilation[0] * (weight.shape[2] - 1) - 1) // stride[0] + 1
    width = (x.shape[3] + left + right - dilation[1] * (weight.shape[3] - 1) - 1) // stride[1] + 1
    return _empty_as(x, (x.shape[0], weight.shape[0], height, width))


@torch.library.register_fake("pyseg::depthwise_conv2d_grad_input")  # type: ignore[untyped-decorator]
def _grad_input_fake(grad: Tensor, x: Tensor, weight: Tensor, stride: Ints, padding: Ints, dilation: Ints) -> Tensor:
    return _empty_as(x, x.shape)


@torch.library.register_fake("pyseg::depthwise_conv2d_grad_weight")  # type: ignore[untyped-decorator]
def _grad_weight_fake(grad: Tensor, x: Tensor, weight: Tensor, stride: Ints, padding: Ints, dilation: Ints) -> Tensor:
    return torch.empty(weight.shape, dtype=weight.dtype, device=weight.device)


@torch.library.register_fake("pyseg::depthwise_conv2d_grad_bias")  # type: ignore[untyped-decorator]
def _grad_bias_fake(grad: Tensor) -> Tensor:
    return torch.empty((grad.shape[1],), dtype=grad.dtype, device=grad.device)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, bias, *ctx.geometry, relu = inputs
    ctx.with_bias = bias is not None
    ctx.save_for_backward(x, weight, output if relu else None)


def _backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    ops = torch.ops.pyseg
    x, weight, output = ctx.saved_tensors
    if output is not None:
        grad = torch.ops.aten.threshold_backward(grad, output, 0)
    of_x = ops.depthwise_conv2d_grad_input(grad, x, weight, *ctx.geometry) if ctx.needs_input_grad[0] else None
    of_weight = ops.depthwise_conv2d_grad_weight(grad, x, weight, *ctx.geometry) if ctx.needs_input_grad[1] else None
    with_bias = ctx.with_bias and ctx.needs_input_grad[2]
    return of_x, of_weight, ops.depthwise_conv2d_grad_bias(grad) if with_bias else None, None, None, None, None


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    grad, x, weight, *ctx.geometry = inputs
    ctx.save_for_backward(grad, x, weight)


def _grad_input_backward(ctx: Any, cotangent: Tensor) -> tuple[Any, ...]:
    """Of <cotangent, grad_input(grad, weight)> = <grad, forward(cotangent, weight)>."""
    ops = torch.ops.pyseg
    grad, _, weight = ctx.saved_tensors
    of_grad = ops.depthwise_conv2d(cotangent, weight, None, *ctx.geometry, False) if ctx.needs_input_grad[0] else None
    needed = ctx.needs_input_grad[2]
    of_weight = ops.depthwise_conv2d_grad_weight(grad, cotangent, weight, *ctx.geometry) if needed else None
    return of_grad, None, of_weight, None, None, None


def _grad_weight_backward(ctx: Any, cotangent: Tensor) -> tuple[Any, ...]:
    """Of <cotangent, grad_weight(grad, x)> = <grad, forward(x, cotangent)>."""
    ops = torch.ops.pyseg
    grad, x, _ = ctx.saved_tensors
    of_grad = ops.depthwise_conv2d(x, cotangent, None, *ctx.geometry, False) if ctx.needs_input_grad[0] else None
    of_x = ops.depthwise_conv2d_grad_input(grad, x, cotangent, *ctx.geometry) if ctx.needs_input_grad[1] else None
    return of_grad, of_x, None, None, None, None


def _keep_shape(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.shape = inputs[0].shape


def _grad_bias_backward(ctx: Any, cotangent: Tensor) -> Tensor:
    return cotangent[:, None, None].expand(ctx.shape)


torch.library.register_autograd("pyseg::depthwise_conv2d", _backward, setup_context=_setup)
torch.library.register_autograd("pyseg::depthwise_conv2d_grad_input", _grad_input_backward, setup_context=_keep)
torch.library.register_autograd("pyseg::depthwise_conv2d_grad_weight", _grad_weight_backward, setup_context=_keep)
torch.library.register_autograd("pyseg::depthwise_conv2d_grad_bias", _grad_bias_backward, setup_context=_keep_shape)
