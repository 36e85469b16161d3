"""deform_attention: inputs, and the implementations as functions from an input to outputs or gradients.

The peer is what Mask2Former, OneFormer and Deformable DETR run where their CUDA extension is not: one ``grid_sample`` a
level, a stack of all samples, a weighted sum (``ms_deform_attn_core_pytorch``; transformers has the same), written here
by its formula. In its layer softmax, locations and that core follow one another.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from implementations import use_isa
from torch import Tensor
from torch.nn.functional import grid_sample

import pyseg
from pyseg import _runtime

__all__ = ["CASES", "MODES", "Case", "Problem", "errors", "implementation", "memory", "problems"]

HEADS, CHANNELS, POINTS = 8, 32, 4


@dataclass(frozen=True)
class Case:
    title: str
    shapes: tuple[tuple[int, int], ...]
    queries: int | None = None  # None: one a pixel, an encoder


def _levels(height: int, width: int, strides: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    return tuple((height // s, width // s) for s in strides)


CASES = {
    "512": Case("pixel decoder, 512 x 1024, strides 8 16 32", _levels(512, 1024, (8, 16, 32))),
    "1024": Case("pixel decoder, 1024 x 2048, strides 8 16 32", _levels(1024, 2048, (8, 16, 32))),
    "decoder": Case("300 queries, 800 x 1088, strides 8 16 32 64", _levels(800, 1088, (8, 16, 32, 64)), 300),
}
MODES = {"forward": "forward", "training": "forward and backward", "layer": "layer, forward"}


@dataclass(frozen=True)
class Problem:
    shapes: tuple[tuple[int, int], ...]
    value: Tensor
    locations: Tensor
    weights: Tensor
    cotangent: Tensor
    query: Tensor
    flat: Tensor
    reference: Tensor


@functools.cache
def problems(name: str) -> list[Problem]:
    return [_problem(CASES[name], seed) for seed in range(2)]


def _problem(case: Case, seed: int) -> Problem:
    """Offsets of 3 pixels around the reference points, as trained models have them."""
    rng = torch.Generator().manual_seed(seed)
    levels, pixels = len(case.shapes), sum(h * w for h, w in case.shapes)
    if case.queries is None:
        places = torch.cat([_centres(h, w) for h, w in case.shapes])
    else:
        places = torch.rand(case.queries, 2, generator=rng)
    queries, size = len(places), HEADS * CHANNELS
    offsets = torch.randn(1, queries, HEADS, levels, POINTS, 2, generator=rng) * 3
    sizes = torch.tensor([(w, h) for h, w in case.shapes]).reshape(-1, 1, 2)
    pixels_at = (places[None, :, None, None, None] + offsets / sizes) * sizes - 0.5
    # Not at the edges of pixels, where gradients jump with the last bit.
    locations = (pixels_at.floor() + (pixels_at - pixels_at.floor()).clamp(0.001, 0.999) + 0.5) / sizes
    weights = torch.randn(1, queries, HEADS, levels * POINTS, generator=rng).softmax(-1)
    return Problem(
        shapes=case.shapes,
        value=torch.randn(1, pixels, HEADS, CHANNELS, generator=rng),
        locations=locations,
        weights=weights.reshape(1, queries, HEADS, levels, POINTS),
        cotangent=torch.randn(1, queries, size, generator=rng),
        query=torch.randn(1, queries, size, generator=rng),
        flat=torch.randn(1, pixels, size, generator=rng),
        reference=places[None, :, None].expand(-1, -1, levels, -1).contiguous(),
    )


def _centres(height: int, width: int) -> Tensor:
    y, x = torch.meshgrid((torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing="ij")
    return torch.stack([x, y], -1).reshape(-1, 2)


def core(value: Tensor, shapes: Any, locations: Tensor, weights: Tensor) -> Tensor:
    """The peer."""
    batch, _, heads, channels = value.shape
    queries = locations.shape[1]
    samples = []
    for level, (maps, (height, width)) in enumerate(
        zip(value.split([h * w for h, w in shapes], 1), shapes, strict=True)
    ):
        maps = maps.flatten(2).transpose(1, 2).reshape(batch * heads, channels, height, width)
        grid = (2 * locations[:, :, :, level] - 1).transpose(1, 2).flatten(0, 1)
        samples.append(grid_sample(maps, grid, mode="bilinear", padding_mode="zeros", align_corners=False))
    weights = weights.transpose(1, 2).reshape(batch * heads, 1, queries, -1)
    result = (torch.stack(samples, -2).flatten(-2) * weights).sum(-1)
    return result.reshape(batch, heads * channels, queries).transpose(1, 2).contiguous()


class PeerLayer(pyseg.nn.MSDeformAttn):
    """The official layer around ``core``."""

    def forward(self, query: Tensor, reference: Tensor, flat: Tensor, shapes: Any, *_: Any) -> Tensor:
        batch, queries, _ = query.shape
        heads = (batch, -1, self.n_heads, self.d_model // self.n_heads)
        value = self.value_proj(flat).reshape(heads)
        offsets = self.sampling_offsets(query).reshape(batch, queries, self.n_heads, self.n_levels, self.n_points, 2)
        weights = self.attention_weights(query).reshape(batch, queries, self.n_heads, -1).softmax(-1)
        sizes = offsets.new_tensor([(w, h) for h, w in shapes]).reshape(-1, 1, 2)
        places = reference[:, :, None, :, None] + offsets / sizes
        result: Tensor = self.output_proj(core(value, shapes, places, weights.reshape(offsets.shape[:-1])))
        return result


@functools.cache
def _layer(kind: type[pyseg.nn.MSDeformAttn], levels: int, dtype: torch.dtype) -> pyseg.nn.MSDeformAttn:
    torch.manual_seed(0)
    layer = kind(HEADS * CHANNELS, levels, HEADS, POINTS)
    torch.nn.init.normal_(layer.sampling_offsets.weight, std=0.1)
    torch.nn.init.normal_(layer.attention_weights.weight, std=0.1)
    return layer.to(dtype)


def implementation(name: str, mode: str, isa: str) -> Callable[[Problem], tuple[Tensor, ...]]:
    """``name``: "pyseg", "pyseg_bfloat16" or "grid_sample"."""
    dtype = torch.bfloat16 if name == "pyseg_bfloat16" else torch.float32
    peer = name == "grid_sample"
    attend = core if peer else pyseg.deform_attention

    def call(p: Problem) -> tuple[Tensor, ...]:
        if not peer:
            set_isa(isa)
        if mode == "layer":
            layer = _layer(PeerLayer if peer else pyseg.nn.MSDeformAttn, len(p.shapes), dtype)
            with torch.no_grad():
                return (layer(p.query.to(dtype), p.reference, p.flat.to(dtype), p.shapes),)
        value = _converted(p, dtype)
        if mode == "forward":
            return (attend(value, p.shapes, p.locations, p.weights),)
        leaves = [x.detach().requires_grad_() for x in (value, p.locations, p.weights)]
        result = attend(leaves[0], p.shapes, *leaves[1:])
        return (result.detach(), *torch.autograd.grad(result, leaves, p.cotangent.to(dtype)))

    return call


_values: dict[tuple[int, torch.dtype], Tensor] = {}


def _converted(p: Problem, dtype: torch.dtype) -> Tensor:
    key = (id(p), dtype)
    if key not in _values:
        _values[key] = p.value.to(dtype)
    return _values[key]


def set_isa(isa: str) -> None:
    use_isa(isa)
    _runtime.torch_ops().set_isa(isa)


def errors(name: str, mode: str, calls: dict[str, Callable[[Problem], tuple[Tensor, ...]]]) -> dict[str, float]:
    """Of each, the largest error relative to the largest value, of result and gradients, against float64.

    Of 1000 queries: all of them in float64 would need some GB. In a layer, against the peer's in float64.
    """
    p = problems(name)[0]
    few = torch.randperm(p.query.shape[1], generator=torch.Generator().manual_seed(0))[:1000]
    cut = [x[:, few] for x in (p.locations, p.weights, p.cotangent, p.query)]
    p = Problem(p.shapes, p.value, cut[0], cut[1], cut[2], cut[3], p.flat, p.reference[:, few])
    wide = {k: v.double() if isinstance(v, Tensor) else v for k, v in vars(p).items()}
    if mode == "layer":
        layer = _layer(PeerLayer, len(p.shapes), torch.float32).double()
        with torch.no_grad():
            exact: tuple[Tensor, ...] = (layer(wide["query"], wide["reference"], wide["flat"], p.shapes),)
        layer.float()
    else:
        leaves = [wide[key].requires_grad_() for key in ("value", "locations", "weights")]
        result = core(leaves[0], p.shapes, *leaves[1:])
        exact = (result.detach(), *torch.autograd.grad(result, leaves, wide["cotangent"]))
    found = {}
    for key, call in calls.items():
        pairs = list(zip(call(p), exact, strict=False))
        found[key] = max(float((mine.double() - e).abs().max() / e.abs().max()) for mine, e in pairs)
    return found


# Inputs leave nothing behind, and the peak counts from after them.
PEAK = """
import ctypes, sys
sys.path.insert(0, sys.argv[1])
import torch, deform_cases as d
torch.set_num_threads(1)
small = d._problem(d.Case("", ((8, 8), (4, 4), (2, 2))), 0)
run = d.implementation(sys.argv[2], sys.argv[3], sys.argv[4])
run(small)
p = d._problem(d.CASES["1024"], 0)
ctypes.CDLL("libc.so.6").malloc_trim(0)
open("/proc/self/clear_refs", "w").write("5")

def resident(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key))

before = resident("VmRSS")
result = run(p)
print((resident("VmHWM") - before) / 1024)
"""


def memory(isa: str) -> dict[str, dict[str, float]]:
    """MiB by which the first call at 1024 x 2048 raises the peak of a process, results included."""
    folder = __file__.rpartition("/")[0]
    found: dict[str, dict[str, float]] = {}
    for mode in ("forward", "training"):
        for name in ("pyseg", "grid_sample"):
            command = [sys.executable, "-c", PEAK, folder, name, mode, isa]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found.setdefault(mode, {})[name] = float(done.stdout)
    return found
