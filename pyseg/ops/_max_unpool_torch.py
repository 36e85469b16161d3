"""max_pool and max_unpool of torch tensors: memory formats, devices, and ``torch.ops.pyseg.max_*``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pyseg import _runtime
from pyseg.ops._max_unpool_window import Target, Window

__all__ = ["pool", "unpool"]

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def _check(op: str, name: str, x: Tensor) -> None:
    if x.layout != torch.strided or x.device.type == "meta":
        raise TypeError(f"{op}: {name} must be a dense tensor with values, got {x.layout} on {x.device}")
    if x.dtype not in DTYPES:
        raise TypeError(f"{op}: {name} must be float16, bfloat16, float32 or float64, got {x.dtype}")


def _lift(x: Tensor, dims: int) -> Tensor:
    """[N, C, H, W] or [N, C, D, H, W], on the CPU."""
    x = x.cpu()
    if x.dim() == dims + 1:
        x = x.unsqueeze(0)
    return x.unsqueeze(2) if dims == 1 else x


def _lower(x: Tensor, like: Tensor, dims: int) -> Tensor:
    if dims == 1:
        x = x.squeeze(2)
    if like.dim() == dims + 1:
        x = x.squeeze(0)
    return x.to(like.device)


def is_channels_last(x: Tensor) -> bool:
    """Whether the channels are innermost, in dense tensors and in views of such."""
    if x.is_contiguous() or x.dim() not in (4, 5) or x.shape[1] == 1:
        return False
    form = torch.channels_last if x.dim() == 4 else torch.channels_last_3d
    return x.is_contiguous(memory_format=form) or x.stride(1) == 1


def pool(op: str, x: Tensor, w: Window, ceil_mode: bool, index: int) -> tuple[Tensor, Tensor]:
    """The arguments are checked, but for the tensor."""
    _runtime.load_torch()
    _check(op, "x", x)
    from pyseg.ops._max_unpool_autograd import in_words

    dims = len(w.kernel)
    lifted = _lift(x, dims)
    try:
        y, indices = torch.ops.pyseg.max_pool(lifted, w.flat(max(2, dims)), ceil_mode, index, is_channels_last(lifted))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise in_words(op, error) from None
    return _lower(y, x, dims), _lower(indices, x, dims)


def unpool(y: Tensor, codes: Any, target: Target, out: Any, scale: Any, shift: Any) -> Tensor:
    """``target``: the checked arguments; ``codes`` has y's shape."""
    _runtime.load_torch()
    op = target.op
    _check(op, "y", y)
    if not isinstance(codes, Tensor):
        raise TypeError(f"{op}: indices must be a tensor as y is, got {type(codes).__name__}")
    from pyseg.ops._max_unpool_autograd import in_words

    dims = len(target.size)
    lifted, places = _lift(y, dims), _lift(codes, dims)
    size = [1, *target.size] if dims == 1 else target.size
    window = target.window.flat(max(2, dims))
    affine = [_per_channel(op, name, v, lifted.shape[1]) for name, v in (("scale", scale), ("shift", shift))]
    try:
        if out is not None:
            return _into(lifted, places, target, out, (window, size), affine, y)
        result = torch.ops.pyseg.max_spread(
            lifted, places, window, size, False, target.windowed, *affine, target.relu, is_channels_last(lifted)
        )
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise in_words(op, error) from None
    return _lower(result, y, dims)


def _per_channel(op: str, name: str, value: Any, channels: int) -> Tensor | None:
    if value is None:
        return None
    if not isinstance(value, Tensor):
        raise TypeError(f"{op}: {name} must be a tensor as y is, got {type(value).__name__}")
    tensor = value
    if tensor.dim() != 1 or tensor.shape[0] != channels:
        raise ValueError(f"{op}: {name} must be [{channels}], got {list(tensor.shape)}")
    return tensor.to("cpu", torch.float64)


def _into(lifted: Tensor, places: Tensor, target: Target, out: Any, sizes: Any, affine: list[Any], y: Tensor) -> Tensor:
    op, dims = target.op, len(target.size)
    shape = [*y.shape[: y.dim() - dims], *target.size]
    if not isinstance(out, Tensor) or list(out.shape) != shape or out.dtype != y.dtype or out.device != y.device:
        found = f"{list(out.shape)} {out.dtype} on {out.device}" if isinstance(out, Tensor) else type(out).__name__
        raise ValueError(f"{op}: out must be {shape} {y.dtype} on {y.device}, got {found}")
    if torch.is_grad_enabled() and any(
        t is not None and t.requires_grad for t in (y, out, *(a for a in affine if a is not None))
    ):
        raise ValueError(f"{op}: out must be None where gradients are wanted, got a tensor")
    if any(s == 0 and n > 1 for s, n in zip(out.stride(), out.shape, strict=True)):
        raise ValueError(f"{op}: out must have a place for each value, got strides {list(out.stride())}")
    window, size = sizes
    to = _lift(out, dims)
    form = torch.channels_last if to.dim() == 4 else torch.channels_last_3d
    last = is_channels_last(to) and to.is_contiguous(memory_format=form)
    if to.device == out.device and (last or to.is_contiguous()):
        torch.ops.pyseg.max_spread_out(to, lifted, places, window, size, target.windowed, *affine, target.relu, last)
        return out
    result = torch.ops.pyseg.max_spread(
        lifted, places, window, size, False, target.windowed, *affine, target.relu, False
    )
    out.copy_(_lower(result, y, dims))
    return out
