"""Autograd of the lattice's filter: linear in the values, piecewise smooth in the features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["filter_tensor"]


def _array(x: Tensor) -> Any:
    return x.detach().cpu().numpy()


class _Filter(torch.autograd.Function):
    """run(values, 0, transpose); gradient(cotangent, values) is that of the sum of cotangent * filter(values)."""

    @staticmethod
    def forward(
        ctx: Any,
        run: Callable[..., Any],
        gradient: Callable[..., Any],
        values: Tensor,
        features: Tensor | None,
        transpose: bool,
    ) -> Tensor:
        ctx.run, ctx.gradient, ctx.transpose = run, gradient, transpose
        ctx.save_for_backward(values, features)
        return torch.from_numpy(run(_array(values), 0, transpose)).to(values)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Any, ...]:
        (cotangent,) = cotangents
        values, features = ctx.saved_tensors
        of_values = of_features = None
        if ctx.needs_input_grad[2]:
            of_values = filter_tensor(ctx.run, ctx.gradient, cotangent, features, not ctx.transpose)
        if ctx.needs_input_grad[3]:
            a, b = (values, cotangent) if ctx.transpose else (cotangent, values)
            dtype = np.float64 if features.dtype == torch.float64 else np.float32
            pair = [np.ascontiguousarray(_array(x).reshape(x.shape[0], -1), dtype) for x in (a, b)]
            of_features = torch.from_numpy(ctx.gradient(*pair)).to(features)
        return None, None, of_values, of_features, None


def filter_tensor(
    run: Callable[..., Any], gradient: Callable[..., Any], values: Tensor, features: Tensor | None, transpose: bool
) -> Tensor:
    """The filter of a tensor, differentiable in ``values`` and ``features``."""
    result: Tensor = _Filter.apply(run, gradient, values, features, transpose)  # type: ignore[no-untyped-call]
    return result
