"""masked_attention beside torch's scaled_dot_product_attention and what Mask2Former ships.

Every (shape, part, threads) is one group, in turn. Chosen by variables as ``test_slic.py`` is: PYSEG_BENCH_THREADS,
PYSEG_BENCH_TIME. Masks are noisy ellipses, 100 queries of 8 heads of 32. Errors are against float64, in parts of the
largest value; ours must not be above twice torch's before anything is timed.
"""

from __future__ import annotations

import functools
import math
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
QUERIES, HEADS, CHANNELS = 100, 8, 256
# height, width, pixels of logits to one of ours, share of the pixels inside a mask (roughly)
SHAPES = {
    "32x64, 8 %": (32, 64, 8, 0.08),
    "64x128, 8 %": (64, 128, 4, 0.08),
    "128x256, 8 %": (128, 256, 2, 0.08),
    "128x256, 35 %": (128, 256, 2, 0.5),
    "128x256, all": (128, 256, 2, 100.0),
}
# What is timed: the attention alone, with its gradients, the way from logits to a mask, everything with projections.
PARTS = ("attention", "attention and gradients", "mask", "whole layer")
TITLES = {
    "sdpa": "torch, SDPA with a bool mask",
    "shipped": "torch, as shipped",
    "pyseg": f"pyseg, {ISA}",
    "pyseg_avx2": "pyseg, avx2",
}
PEERS = ("sdpa", "shipped")

pytestmark = pytest.mark.benchmark(timer=REPLAY)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", PARTS)
@pytest.mark.parametrize("threads", [int(t) for t in THREADS.split(",")])
@pytest.mark.parametrize("name", TITLES)
def test_attention(benchmark: Any, shape: str, kind: str, threads: int, name: str) -> None:
    samples, errors = _group(shape, kind, threads)
    if name not in samples.seconds:
        pytest.skip(f"{TITLES[name]} has no {kind}")
    best = samples.best(PEERS)
    assert best is not None
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
        facts["ratio_to_best"] = samples.ratio(name, best)
    record(benchmark, samples.of(name), f"{shape}, {kind}, {threads} thread{'s' if threads > 1 else ''}", **facts)


@functools.cache
def _group(shape: str, kind: str, threads: int) -> tuple[Samples, dict[str, float]]:
    torch.set_num_threads(threads)
    calls = _calls(shape, kind)
    if kind == "mask":  # bits: there is nothing to be inexact
        errors = dict.fromkeys(calls, 0.0)
    else:
        want = _calls(shape, kind, torch.float64)["sdpa"](None)
        errors = {name: _error(call(None), want) for name, call in calls.items()}
        allowed = max(2 * max(errors[peer] for peer in PEERS if peer in errors), 1e-6)
        assert all(error <= allowed for error in errors.values()), errors
    return interleave(calls, [None], threads, seconds=4.0, least=5), errors


def _error(result: Any, want: Any) -> float:
    pairs = zip(result, want, strict=True) if isinstance(result, tuple) else [(result, want)]
    return max(float((a.double() - b).abs().max() / b.abs().max()) for a, b in pairs)


@functools.cache
def _logits(shape: str) -> torch.Tensor:
    """[1, Q, h, w]: an ellipse for each query, with noise on its border."""
    height, width, factor, share = SHAPES[shape]
    h, w = height * factor, width * factor
    generator = torch.Generator().manual_seed(0)
    y, x = torch.arange(h)[:, None] / h, torch.arange(w)[None] / w
    center_x, center_y = (torch.rand(QUERIES, 1, 1, generator=generator) for _ in range(2))
    stretch = torch.exp(0.4 * torch.randn(QUERIES, 1, 1, generator=generator))
    radius = math.sqrt(share / math.pi)
    distance = ((x - center_x) / (radius * stretch)) ** 2 + ((y - center_y) / (radius / stretch)) ** 2
    noise = torch.randn(QUERIES, 1, h // 16, w // 16, generator=generator)
    return (4 * (1 - distance).clamp(min=-3) + F.interpolate(noise, size=(h, w), mode="bilinear")[:, 0])[None]


def _mask(logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """As shipped: True is outside, [heads, Q, H * W] for one image."""
    resized = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
    outside = resized.sigmoid().flatten(2).unsqueeze(1).repeat(1, HEADS, 1, 1).flatten(0, 1) < 0.5
    outside[torch.where(outside.sum(-1) == outside.shape[-1])] = False
    return outside


def _cut(x: torch.Tensor) -> torch.Tensor:
    return x.unflatten(2, (HEADS, -1)).transpose(1, 2)


def _calls(shape: str, kind: str, dtype: torch.dtype = torch.float32) -> dict[str, Callable[[Any], Any]]:
    height, width = size = SHAPES[shape][:2]
    logits, generator = _logits(shape), torch.Generator().manual_seed(1)
    rows = [
        torch.randn(1, n, CHANNELS, generator=generator).to(dtype) for n in (QUERIES, height * width, height * width)
    ]
    cotangent = torch.randn(1, QUERIES, CHANNELS, generator=generator).to(dtype)
    pyseg.info()  # loads the operators
    bits, outside = pyseg.mask_bitmap(logits, size), _mask(logits, size)
    inside = ~outside[None, :1]

    def sdpa(*x: torch.Tensor) -> torch.Tensor:
        q, k, v = map(_cut, x)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=inside).transpose(1, 2).flatten(2)

    def ours(*x: torch.Tensor) -> torch.Tensor:
        return pyseg.masked_attention(*x, attn_mask=bits, size=size)  # type: ignore[no-any-return]

    if kind == "mask":
        made: dict[str, Callable[[], Any]] = {
            "shipped": lambda: _mask(logits, size),
            "pyseg": lambda: pyseg.mask_bitmap(logits, size),
        }
    elif kind == "whole layer":
        made = _layers(rows, logits, size, dtype)
    elif kind == "attention":
        made = {"sdpa": lambda: sdpa(*rows), "pyseg": lambda: ours(*rows)}
    else:
        leaves = [x.requires_grad_() for x in rows]

        def with_gradients(call: Callable[..., torch.Tensor]) -> Callable[[], Any]:
            return lambda: torch.autograd.grad(call(*leaves), leaves, cotangent)

        made = {"sdpa": with_gradients(sdpa), "pyseg": with_gradients(ours)}
    if ISA.startswith("avx512"):
        made["pyseg_avx2"] = made["pyseg"]

    def with_isa(isa: str, call: Callable[[], Any]) -> Callable[[Any], Any]:
        def run(_: Any) -> Any:
            torch.ops.pyseg.set_isa(isa)
            with torch.set_grad_enabled(kind == "attention and gradients"):
                return call()

        return run

    return {name: with_isa("avx2" if name.endswith("avx2") else ISA, call) for name, call in made.items()}


def _layers(
    rows: list[torch.Tensor], logits: torch.Tensor, size: tuple[int, int], dtype: torch.dtype
) -> dict[str, Callable[[], Any]]:
    torch.manual_seed(2)
    theirs = torch.nn.MultiheadAttention(CHANNELS, HEADS, batch_first=True).to(dtype)
    mine = pyseg.nn.MaskedCrossAttention(CHANNELS, HEADS).to(dtype)
    mine.load_state_dict(theirs.state_dict())
    return {
        "sdpa": lambda: theirs(*rows, attn_mask=_mask(logits, size), need_weights=False)[0],
        "shipped": lambda: theirs(*rows, attn_mask=_mask(logits, size), need_weights=True)[0],
        "pyseg": lambda: mine(*rows, logits, size=size),
    }
