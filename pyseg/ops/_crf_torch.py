"""The dense CRF of torch tensors: arguments of ``torch.ops.pyseg.dense_crf``, and features where sigmas are learned."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pyseg import _runtime
from pyseg.ops._crf_problem import KINDS, LEAST_PROBABILITY, Problem, image_axes, image_specs
from pyseg.ops.crf_kernels import Bilateral, Features, compat_tensor, kernel_normalization, number_tensor, spatial_axes

__all__ = ["run_torch"]


def run_torch(unary: Tensor, image: Any, problem: Problem) -> Tensor:
    """As :func:`pyseg.dense_crf`; the arguments are checked, ``unary`` is a tensor."""
    _runtime.load_torch()
    layout = problem.layout
    if not unary.dtype.is_floating_point:
        raise TypeError(f"dense_crf: unary must be floating point, got {unary.dtype}")
    if unary.layout != torch.strided or unary.device.type == "meta":
        raise TypeError(f"dense_crf: unary must be a dense tensor with values, got {unary.layout} on {unary.device}")
    device, dtype = unary.device, unary.dtype
    batch = unary if layout.batch is not None else unary.unsqueeze(0)
    axis = layout.classes if layout.batch is not None else layout.classes + 1
    energies = batch.movedim(axis, 1).to("cpu", torch.float32)
    kind = KINDS[problem.unary_from]
    classes = energies.shape[1]
    compat = [compat_tensor(k, problem.compat, classes) for k in problem.kernels]
    pixels = None if image is None else _pixels(image, problem)
    arguments = _kernels(pixels, problem, energies.shape)
    if kind != 0 and _differentiable([energies, *compat, *arguments["features"]]):
        energies, kind = _energies(energies, problem.unary_from), 0
    if pixels is not None and not arguments["colored"].count(1):
        pixels = None
    result: Tensor = torch.ops.pyseg.dense_crf(
        energies,
        pixels,
        arguments["features"],
        arguments["given"],
        arguments["spatial"],
        arguments["colored"],
        arguments["color"],
        compat,
        [kernel_normalization(k, problem.normalization) for k in problem.kernels],
        kind,
        problem.n_iter,
        problem.half,
    )
    result = result.movedim(1, axis).to(device, dtype)
    return result if layout.batch is not None else result.squeeze(0)


def _differentiable(tensors: list[Tensor]) -> bool:
    return torch.is_grad_enabled() and any(t.requires_grad for t in tensors)


def _energies(unary: Tensor, unary_from: str) -> Tensor:
    if unary_from == "logits":
        return -unary
    within = (unary >= 0) & (unary <= 1 + 1e-4)
    if not bool(within.all()):
        raise ValueError("dense_crf: probabilities must be within 0 .. 1")
    return -unary.clamp(min=LEAST_PROBABILITY).log()


def _pixels(image: Any, problem: Problem) -> Tensor:
    """[B, C, ...] uint8 or float32 on the CPU."""
    layout = problem.layout
    pixels: Tensor = torch.as_tensor(image).cpu()
    axes = image_axes(tuple(pixels.shape), layout)
    if layout.batch is None:
        pixels = pixels.unsqueeze(0)
    pixels = pixels.unsqueeze(1) if axes[3] < 0 else pixels.movedim(axes[3] + 1, 1)
    if pixels.shape[1] == 0:
        raise ValueError(f"dense_crf: image must have at least one channel, got {list(pixels.shape)}")
    if pixels.dtype == torch.uint8:
        return pixels
    if not (pixels.dtype.is_floating_point or pixels.dtype == torch.uint16):
        raise TypeError(f"dense_crf: image must be uint8, uint16 or floating point, got {pixels.dtype}")
    return pixels.float()


def _kernels(pixels: Tensor | None, problem: Problem, shape: torch.Size) -> dict[str, Any]:
    """What the op takes of the kernels: sigmas, or features [B, N, d] where those are given or learned."""
    channels = 0 if pixels is None else pixels.shape[1]
    specs = image_specs(problem, channels, [_learned(k) for k in problem.kernels])
    points = shape[2:].numel()
    features: list[Tensor] = []
    given: list[int] = []
    spatial: list[float] = []
    colored: list[int] = []
    color: list[float] = []
    for kernel, spec in zip(problem.kernels, specs, strict=True):
        if spec is None:
            known = isinstance(kernel, Features)
            made = _given(kernel, shape[0], points) if known else _made(kernel, pixels, shape)
            given.append(len(features))
            features.append(made)
            colored.append(0)
            continue
        given.append(-1)
        spatial += spec[0]
        colored.append(int(bool(spec[1])))
        color += spec[1]
    return {"features": features, "given": given, "spatial": spatial, "colored": colored, "color": color}


def _learned(kernel: Any) -> bool:
    values = (getattr(kernel, "sxy", None), getattr(kernel, "srgb", None))
    return any(isinstance(v, Tensor) and v.requires_grad for v in values)


def _given(kernel: Any, batch: int, points: int) -> Tensor:
    f: Tensor = number_tensor("features", kernel.features)
    if f.dim() == 2:
        f = f.unsqueeze(0).expand(batch, -1, -1)
    if f.dim() != 3 or f.shape[0] != batch or f.shape[1] != points or f.shape[2] == 0:
        raise ValueError(
            f"dense_crf: features must be [{points}, d] or [{batch}, {points}, d] as unary has points, "
            f"got {list(f.shape)}"
        )
    return f.to("cpu", torch.float32).contiguous()


def _made(kernel: Any, pixels: Tensor | None, shape: torch.Size) -> Tensor:
    """[B, N, d] from sigmas that are tensors."""
    dims = len(shape) - 2
    grids = torch.meshgrid(*[torch.arange(n, dtype=torch.float32) for n in shape[2:]], indexing="ij")
    order = [a - (3 - dims) for a in spatial_axes(dims)]
    positions = torch.stack([grids[a].flatten() for a in order], dim=1)
    made = (positions / torch.as_tensor(kernel.sxy).to("cpu", torch.float32)).expand(shape[0], -1, -1)
    if isinstance(kernel, Bilateral):
        assert pixels is not None  # checked with the kernels
        colors = pixels.float().flatten(2).transpose(1, 2)
        made = torch.cat([made, colors / torch.as_tensor(kernel.srgb).to("cpu", torch.float32)], dim=2)
    return made.contiguous()
