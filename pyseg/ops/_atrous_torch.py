"""``torch.ops.pyseg.atrous_conv2d`` and its gradients: packed weights that are kept, fake kernels, autograd.

The operators are defined here and not in C++ because they keep packed weights between calls: by tensor, and by a hash
of the weights' values, so that any write to them counts, whether autograd's version counter saw it or not.
"""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from pyseg.ops.atrous_conv import ALGORITHMS, out_size

__all__ = ["empty_as", "geometry_of", "pack", "run"]

_KEPT = 4  # packings of one weight: forward and backward, of two geometries
_packed: Any = WeakIdKeyDictionary()
_lock = threading.Lock()


def geometry_of(weight: Tensor, stride: Any, padding: Any, dilation: Any, algorithm: str) -> list[int]:
    """As the C++ side takes it: kernel, stride, padding, dilation, algorithm."""
    return [*weight.shape[2:], *stride, *padding, *dilation, ALGORITHMS[algorithm]]


def pack(
    weight: Tensor, size: tuple[int, int], geometry: list[int], transposed: bool = False, channels: int | None = None
) -> Tensor:
    """``weight`` (or its first input channels) as the kernels want it for inputs of this size, made anew only where its
    values have changed."""
    ops = torch.ops.pyseg
    source = weight.detach().contiguous()
    kind = (
        geometry[8],
        ops.atrous_combinations(*size, geometry, transposed),
        transposed,
        channels,
        tuple(weight.shape),
        ops.isa(),
    )
    mark = ops.atrous_fingerprint(source)
    with _lock:
        kept = _packed.setdefault(weight, {})
        if kind in kept and kept[kind][0] == mark:
            packed: Tensor = kept[kind][1]
            return packed
    packed = ops.atrous_pack(source[:, :channels].contiguous(), *size, geometry, transposed)
    with _lock:
        kept.pop(kind, None)
        while len(kept) >= _KEPT:
            kept.pop(next(iter(kept)))
        kept[kind] = (mark, packed)
    return packed


def _dense(x: Tensor) -> Tensor:
    """``x`` itself where it is contiguous or channels_last, else a contiguous copy."""
    return x if x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last) else x.contiguous()


def empty_as(x: Tensor, shape: list[Any]) -> Tensor:
    """An empty tensor in the memory format of ``x``."""
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.empty(
        shape,
        dtype=x.dtype,
        device=x.device,
        memory_format=torch.channels_last if last else torch.contiguous_format,
    )


def run(x: Tensor, packed: Tensor, geometry: list[int], scale: Any, shift: Any, relu: bool, out: Tensor) -> None:
    """The kernel, into ``out``."""
    torch.ops.pyseg.atrous_forward(_dense(x), packed, geometry, scale, shift, relu, out)


def _forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, algorithm: str, relu: bool
) -> Tensor:
    geometry = geometry_of(weight, stride, padding, dilation, algorithm)
    out = empty_as(
        x, [x.shape[0], weight.shape[0], *out_size(x.shape[2:], weight.shape[2:], stride, padding, dilation)]
    )
    if out.numel():
        packed = pack(weight, (x.shape[2], x.shape[3]), geometry)
        run(x, packed, geometry, None, None if bias is None else bias.detach().contiguous(), relu, out)
    return out


def _transposed(kernel: Any, padding: Any, dilation: Any) -> list[Any]:
    return [dilation[i] * (kernel[i] - 1) - padding[i] for i in range(2)]


def _grad_input(
    grad: Tensor, weight: Tensor, height: int, width: int, padding: Any, dilation: Any, algorithm: str
) -> Tensor:
    out = empty_as(grad, [grad.shape[0], weight.shape[1], height, width])
    if grad.numel() == 0:
        return out.zero_()
    before = geometry_of(weight, (1, 1), padding, dilation, algorithm)
    packed = pack(weight, (height, width), before, transposed=True)
    geometry = geometry_of(weight, (1, 1), _transposed(weight.shape[2:], padding, dilation), dilation, algorithm)
    run(grad, packed, geometry, None, None, False, out)
    return out


def _grad_weight(
    x: Tensor, grad: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any, algorithm: str
) -> Tensor:
    if grad.numel() == 0:
        return x.new_zeros([grad.shape[1], x.shape[1], *kernel])
    geometry = [*kernel, *stride, *padding, *dilation, ALGORITHMS[algorithm]]
    result: Tensor = torch.ops.pyseg.atrous_grad_weight(_dense(x), _dense(grad), geometry)
    return result


for _schema in (
    "atrous_conv2d(Tensor x, Tensor weight, Tensor? bias, SymInt[] stride, SymInt[] padding, SymInt[] dilation, "
    "str algorithm, bool relu) -> Tensor",
    "atrous_conv2d_grad_input(Tensor grad, Tensor weight, SymInt height, SymInt width, SymInt[] padding, "
    "SymInt[] dilation, str algorithm) -> Tensor",
    "atrous_conv2d_grad_weight(Tensor x, Tensor grad, SymInt[] kernel, SymInt[] stride, SymInt[] padding, "
    "SymInt[] dilation, str algorithm) -> Tensor",
):
    torch.library.define(f"pyseg::{_schema.partition('(')[0]}", _schema[_schema.index("(") :])
torch.library.impl("pyseg::atrous_conv2d", "CPU", _forward)
torch.library.impl("pyseg::atrous_conv2d_grad_input", "CPU", _grad_input)
torch.library.impl("pyseg::atrous_conv2d_grad_weight", "CPU", _grad_weight)


@torch.library.register_fake("pyseg::atrous_conv2d")  # type: ignore[untyped-decorator]
def _fake(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, algorithm: str, relu: bool
) -> Tensor:
    return empty_as(
        x, [x.shape[0], weight.shape[0], *out_size(x.shape[2:], weight.shape[2:], stride, padding, dilation)]
    )


@torch.library.register_fake("pyseg::atrous_conv2d_grad_input")  # type: ignore[untyped-decorator]
def _fake_grad_input(grad: Tensor, weight: Tensor, height: int, width: int, *rest: Any) -> Tensor:
    return empty_as(grad, [grad.shape[0], weight.shape[1], height, width])


@torch.library.register_fake("pyseg::atrous_conv2d_grad_weight")  # type: ignore[untyped-decorator]
def _fake_grad_weight(x: Tensor, grad: Tensor, kernel: Any, *rest: Any) -> Tensor:
    return x.new_empty([grad.shape[1], x.shape[1], *kernel])


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, bias, *ctx.rest, ctx.relu = inputs
    ctx.with_bias = bias is not None
    ctx.save_for_backward(x, weight, *([output] if ctx.relu else []))


def _training(algorithm: str) -> str:
    """Of the gradients: F(4,3) is not for training, and planes are not always what comes in."""
    return {"winograd4": "winograd", "pointwise": "direct"}.get(algorithm, algorithm)


def _strided_grad_input(x: Tensor, weight: Tensor, grad: Tensor, stride: Any, padding: Any, dilation: Any) -> Tensor:
    """The transposed convolution of a stride is torch's."""
    mask = [True, False, False]
    grads = torch.ops.aten.convolution_backward(
        grad, x, weight, None, stride, padding, dilation, False, [0, 0], 1, mask
    )
    return grads[0]  # type: ignore[no-any-return]


def _backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    x, weight, *output = ctx.saved_tensors
    stride, padding, dilation, algorithm = ctx.rest
    algorithm = _training(algorithm)
    if ctx.relu:
        grad = grad * (output[0] > 0)
    ops = torch.ops.pyseg
    of_x = of_weight = of_bias = None
    if ctx.needs_input_grad[0]:
        if tuple(stride) == (1, 1):
            of_x = ops.atrous_conv2d_grad_input(grad, weight, x.shape[2], x.shape[3], padding, dilation, algorithm)
        else:
            of_x = _strided_grad_input(x, weight, grad, stride, padding, dilation)
    if ctx.needs_input_grad[1]:
        kernel = weight.shape[2:]
        of_weight = ops.atrous_conv2d_grad_weight(x, grad, kernel, stride, padding, dilation, algorithm)
    if ctx.with_bias and ctx.needs_input_grad[2]:
        of_bias = grad.sum((0, 2, 3))
    return of_x, of_weight, of_bias, None, None, None, None, None


def _save_grad_input(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    grad, weight, _, _, *ctx.rest = inputs
    ctx.save_for_backward(grad, weight)


def _backward_grad_input(ctx: Any, cotangent: Tensor) -> tuple[Any, ...]:
    grad, weight = ctx.saved_tensors
    padding, dilation, algorithm = ctx.rest
    ops, kernel, one = torch.ops.pyseg, weight.shape[2:], [1, 1]
    of_grad = of_weight = None
    if ctx.needs_input_grad[0]:
        of_grad = ops.atrous_conv2d(cotangent, weight, None, one, padding, dilation, algorithm, False)
    if ctx.needs_input_grad[1]:
        of_weight = ops.atrous_conv2d_grad_weight(cotangent, grad, kernel, one, padding, dilation, algorithm)
    return of_grad, of_weight, None, None, None, None, None


def _save_grad_weight(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, grad, _, *ctx.rest = inputs
    ctx.save_for_backward(x, grad)


def _backward_grad_weight(ctx: Any, cotangent: Tensor) -> tuple[Any, ...]:
    x, grad = ctx.saved_tensors
    stride, padding, dilation, algorithm = ctx.rest
    of_x = of_grad = None
    if ctx.needs_input_grad[0]:
        if tuple(stride) == (1, 1):
            size = x.shape[2], x.shape[3]
            of_x = torch.ops.pyseg.atrous_conv2d_grad_input(grad, cotangent, *size, padding, dilation, algorithm)
        else:
            of_x = _strided_grad_input(x, cotangent, grad, stride, padding, dilation)
    if ctx.needs_input_grad[1]:
        of_grad = torch.ops.pyseg.atrous_conv2d(x, cotangent, None, stride, padding, dilation, algorithm, False)
    return of_x, of_grad, None, None, None, None, None


torch.library.register_autograd("pyseg::atrous_conv2d", _backward, setup_context=_save)
torch.library.register_autograd("pyseg::atrous_conv2d_grad_input", _backward_grad_input, setup_context=_save_grad_input)
torch.library.register_autograd(
    "pyseg::atrous_conv2d_grad_weight", _backward_grad_weight, setup_context=_save_grad_weight
)
