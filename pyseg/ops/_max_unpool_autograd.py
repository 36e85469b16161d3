"""Fake kernels and autograd of ``torch.ops.pyseg.max_pool``, ``max_spread`` and ``max_gather``.

All three are closed under differentiation: pooling's derivative spreads (and adds), unpooling's gathers, gathering's
spreads. An index out of range is an IndexError in all of them. Imported with the library.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pyseg.ops._max_unpool_window import Window, pooled_size

__all__ = ["in_words"]

_INDEX_DTYPES = (torch.uint8, torch.int32, torch.int64)


def in_words(op: str, error: Exception) -> Exception:
    """The library's error as the Python exception it is; torch passes all of them as RuntimeErrors."""
    rule = str(error).partition("\n")[0]
    for name in ("max_unpool: ", "max_pool: "):
        if rule.startswith(name):
            text = f"{op}: {rule.removeprefix(name)}"
            if text.partition(": ")[2].startswith("an index must be"):
                return IndexError(text)
            return TypeError(text) if " must be float16" in rule or " must be uint8" in rule else ValueError(text)
    return error


def _empty(like: Tensor, shape: list[Any], dtype: torch.dtype, channels_last: bool) -> Tensor:
    form = torch.contiguous_format
    if channels_last:
        form = torch.channels_last if len(shape) == 4 else torch.channels_last_3d
    return torch.empty(shape, dtype=dtype, device=like.device, memory_format=form)


@torch.library.register_fake("pyseg::max_pool")  # type: ignore[untyped-decorator]
def _max_pool(x: Tensor, window: list[int], ceil_mode: bool, index: int, channels_last: bool) -> tuple[Tensor, Tensor]:
    n = x.dim() - 2
    w = Window(*(tuple(window[i * n : (i + 1) * n]) for i in range(4)))
    shape = [*x.shape[:2], *pooled_size("max_pool", x.shape[2:], w, ceil_mode)]
    return _empty(x, shape, x.dtype, channels_last), _empty(x, shape, _INDEX_DTYPES[index], channels_last)


@torch.library.register_fake("pyseg::max_gather")  # type: ignore[untyped-decorator]
def _max_gather(large: Tensor, indices: Tensor, window: list[int], channels_last: bool) -> Tensor:
    return _empty(large, list(indices.shape), large.dtype, channels_last)


@torch.library.register_fake("pyseg::max_spread")  # type: ignore[untyped-decorator]
def _max_spread(
    small: Tensor,
    indices: Tensor,
    window: list[int],
    size: list[int],
    add: bool,
    windowed: bool,
    scale: Tensor | None,
    shift: Tensor | None,
    relu: bool,
    channels_last: bool,
) -> Tensor:
    return _empty(small, [*small.shape[:2], *size], small.dtype, channels_last)


@torch.library.register_fake("pyseg::max_spread_out")  # type: ignore[untyped-decorator]
def _max_spread_out(out: Tensor, *rest: Any) -> None:
    return None


def _gather(large: Tensor, indices: Tensor, window: list[int], channels_last: bool) -> Tensor:
    try:
        return torch.ops.pyseg.max_gather(large, indices, window, channels_last)  # type: ignore[no-any-return]
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise in_words("max_unpool", error) from None


def _spread(small: Tensor, indices: Tensor, window: list[int], size: Any, add: bool, channels_last: bool) -> Tensor:
    try:
        return torch.ops.pyseg.max_spread(  # type: ignore[no-any-return]
            small, indices, window, list(size), add, False, None, None, False, channels_last
        )
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise in_words("max_unpool", error) from None


def _keep_pool(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, ctx.window, _, _, ctx.channels_last = inputs
    ctx.size = x.shape[2:]
    ctx.save_for_backward(output[1])
    ctx.mark_non_differentiable(output[1])


def _pool_backward(ctx: Any, grad: Tensor, _: Any) -> tuple[Any, ...]:
    (indices,) = ctx.saved_tensors
    return _spread(grad, indices, ctx.window, ctx.size, True, ctx.channels_last), None, None, None, None


def _keep_gather(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    large, indices, ctx.window, ctx.channels_last = inputs
    ctx.size = large.shape[2:]
    ctx.save_for_backward(indices)


def _gather_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    (indices,) = ctx.saved_tensors
    return _spread(grad, indices, ctx.window, ctx.size, True, ctx.channels_last), None, None, None


def _keep_spread(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    small, indices, ctx.window, ctx.size, _, _, scale, shift, ctx.relu, ctx.channels_last = inputs
    ctx.fused = [scale is not None, shift is not None]
    kept = [t for t in (scale, shift) if t is not None]
    if kept or ctx.relu:
        kept += [small, output]
    ctx.save_for_backward(indices, *kept)


def _spread_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    indices, *kept = ctx.saved_tensors
    scale = kept.pop(0) if ctx.fused[0] else None
    if ctx.fused[1]:
        kept.pop(0)
    if ctx.relu:
        grad = torch.where(kept[1] > 0, grad, 0)
    of_small = _gather(grad, indices, ctx.window, ctx.channels_last)
    of_scale = of_shift = None
    axes = [0, *range(2, grad.dim())]
    if scale is not None:
        if ctx.needs_input_grad[6]:
            wide = torch.float64 if grad.dtype == torch.float64 else torch.float32
            values = _spread(kept[0], indices, ctx.window, ctx.size, False, ctx.channels_last)
            of_scale = (grad.to(wide) * values.to(wide)).sum(axes).to(scale.dtype)
        of_small = of_small * scale.to(of_small.dtype).view(-1, *[1] * (grad.dim() - 2))
    if ctx.fused[1] and ctx.needs_input_grad[7]:
        of_shift = grad.sum(axes, dtype=torch.float64)
    return of_small, None, None, None, None, None, of_scale, of_shift, None, None


torch.library.register_autograd("pyseg::max_pool", _pool_backward, setup_context=_keep_pool)
torch.library.register_autograd("pyseg::max_gather", _gather_backward, setup_context=_keep_gather)
torch.library.register_autograd("pyseg::max_spread", _spread_backward, setup_context=_keep_spread)
