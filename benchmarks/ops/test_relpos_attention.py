"""relpos_attention beside SAM's attention in torch: eager, and scaled_dot_product_attention with the dense bias.

Chosen by variables as ``test_slic.py`` is: PYSEG_BENCH_THREADS, PYSEG_BENCH_TIME. Errors are against float64, in parts
of the largest value; ours must be at most twice torch's before anything is timed.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from implementations import ISA
from rows import REPLAY, record
from timing import Samples, interleave

import pyseg

THREADS = os.environ.get("PYSEG_BENCH_THREADS") or os.environ.get("PYSEG_NUM_THREADS") or "1,2"
Shape = tuple[int, int, int, int, int]
# batch, heads, channels of a head, height, width
SHAPES: dict[str, Shape] = {
    "SAM ViT-B, global 64x64": (1, 12, 64, 64, 64),
    "SAM ViT-B, 25 windows 14x14": (25, 12, 64, 14, 14),
    "SAM ViT-H, 25 windows 14x14": (25, 16, 80, 14, 14),
}
PASSES = ("forward", "backward")
TITLES = {
    "eager": "torch, eager",
    "sdpa": "torch, SDPA",
    "pyseg": f"pyseg, {ISA}",
    "pyseg_avx2": "pyseg, avx2",
}
PEERS = ("eager", "sdpa")

pytestmark = pytest.mark.benchmark(timer=REPLAY)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", PASSES)
@pytest.mark.parametrize("threads", [int(t) for t in THREADS.split(",")])
@pytest.mark.parametrize("name", TITLES)
def test_attention(benchmark: Any, shape: str, kind: str, threads: int, name: str) -> None:
    samples, errors = _group(shape, kind, threads)
    if name not in samples.seconds:
        pytest.skip(f"{TITLES[name]} is not there")
    facts: dict[str, Any] = {
        "implementation": name,
        "title": TITLES[name],
        "kind": kind,
        "shape": shape,
        "threads": threads,
        "clock": "process CPU time" if threads == 1 else "wall clock",
        "ms": 1e3 * samples.typical(name),
        "error": errors[name],
        "load": samples.load,
    }
    if name not in PEERS:
        facts["ratio_to_best"] = samples.ratio(name, "sdpa")
        facts["ratio_to_eager"] = samples.ratio(name, "eager")
    record(benchmark, samples.of(name), f"{shape}, {kind}, {threads} thread{'s' if threads > 1 else ''}", **facts)


@functools.cache
def _group(shape: str, kind: str, threads: int) -> tuple[Samples, dict[str, float]]:
    torch.set_num_threads(threads)
    made = calls(SHAPES[shape], kind)
    want = _exact(SHAPES[shape])[PASSES.index(kind)]
    errors = {name: float((call(None).double() - want).abs().max() / want.abs().max()) for name, call in made.items()}
    for name, error in errors.items():
        assert name in PEERS or error <= 2 * min(errors[peer] for peer in PEERS), (name, error)
    return interleave(made, [None], threads, seconds=5.0, least=3), errors


@functools.cache
def tensors(shape: Shape) -> tuple[torch.Tensor, ...]:
    """qkv, rel_h, rel_w, the gradient of the result; the tables are as small as trained ones."""
    batch, heads, channels, height, width = shape
    generator = torch.Generator().manual_seed(0)
    qkv = torch.randn(batch, height * width, 3, heads, channels, generator=generator)
    tables = (0.1 * torch.randn(2 * n - 1, channels, generator=generator) for n in (height, width))
    return qkv, *tables, torch.randn(batch, height * width, heads, channels, generator=generator)


def _bias(q: torch.Tensor, rel_h: torch.Tensor, rel_w: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """As SAM's add_decomposed_rel_pos has it."""
    batch, heads, pixels, channels = q.shape
    rows = rel_h[torch.arange(height)[:, None] - torch.arange(height) + height - 1]
    columns = rel_w[torch.arange(width)[:, None] - torch.arange(width) + width - 1]
    maps = q.reshape(batch * heads, height, width, channels)
    of_y = torch.einsum("bhwc,hkc->bhwk", maps, rows)
    of_x = torch.einsum("bhwc,wkc->bhwk", maps, columns)
    return (of_y[..., :, None] + of_x[..., None, :]).reshape(batch, heads, pixels, pixels)


def _by_torch(dense: bool, qkv: torch.Tensor, *rest: Any) -> torch.Tensor:
    q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    if dense:
        out = F.scaled_dot_product_attention(q, k, v, _bias(q, *rest))
    else:
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        out = (scores + _bias(q, *rest)).softmax(-1) @ v
    return out.transpose(1, 2)


def _by_pyseg(isa: str, qkv: torch.Tensor, rel_h: torch.Tensor, rel_w: torch.Tensor, *size: int) -> torch.Tensor:
    torch.ops.pyseg.set_isa(isa)
    return pyseg.relpos_attention_qkv(qkv, rel_h, rel_w, size)  # type: ignore[no-any-return]


def _implementations() -> dict[str, Callable[..., torch.Tensor]]:
    pyseg.info()  # loads the operators
    made: dict[str, Callable[..., torch.Tensor]] = {
        "eager": functools.partial(_by_torch, False),
        "sdpa": functools.partial(_by_torch, True),
        "pyseg": functools.partial(_by_pyseg, ISA),
    }
    if ISA.startswith("avx512"):
        made["pyseg_avx2"] = functools.partial(_by_pyseg, "avx2")
    return made


@functools.cache
def _exact(shape: Shape) -> tuple[torch.Tensor, torch.Tensor]:
    """The result and the gradient of qkv in float64, head by head."""
    qkv, rel_h, rel_w, grad = (t.double() for t in tensors(shape))
    results, gradients = [], []
    for h in range(shape[1]):
        head = qkv[..., h : h + 1, :].clone().requires_grad_()
        results.append(_by_torch(False, head, rel_h, rel_w, *shape[3:]))
        gradients.append(torch.autograd.grad(results[-1], head, grad[:, :, h : h + 1])[0])
        results[-1] = results[-1].detach()
    return torch.cat(results, 2), torch.cat(gradients, 3)


def both_passes(name: str, shape: Shape) -> None:
    """Forward and backward by one implementation, whose graph is freed as it goes."""
    qkv, rel_h, rel_w, grad = tensors(shape)
    inputs = [t.requires_grad_() for t in (qkv, rel_h, rel_w)]
    torch.autograd.grad(_implementations()[name](*inputs, *shape[3:]), inputs, grad)


def calls(shape: Shape, kind: str) -> dict[str, Callable[[Any], torch.Tensor]]:
    """Of each implementation the pass; a backward pass gives the gradient of qkv."""
    qkv, rel_h, rel_w, grad = tensors(shape)

    def forward(call: Callable[..., torch.Tensor]) -> Callable[[Any], torch.Tensor]:
        def run(_: Any) -> torch.Tensor:
            with torch.no_grad():
                return call(qkv, rel_h, rel_w, *shape[3:])

        return run

    def backward(call: Callable[..., torch.Tensor]) -> Callable[[Any], torch.Tensor]:
        inputs = [t.detach().requires_grad_() for t in (qkv, rel_h, rel_w)]
        graph: list[torch.Tensor] = []

        def run(_: Any) -> torch.Tensor:
            if not graph:
                graph.append(call(*inputs, *shape[3:]))
            if isinstance(call, functools.partial) and call.func is _by_pyseg:
                torch.ops.pyseg.set_isa(call.args[0])
            return torch.autograd.grad(graph[0], inputs, grad, retain_graph=True)[0]

        return run

    return {name: (forward if kind == "forward" else backward)(call) for name, call in _implementations().items()}
