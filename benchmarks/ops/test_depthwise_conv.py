"""depthwise_conv2d and its gradients beside torch's own convolution, in both memory formats.

A row is one (pass, dtype, threads, shape, rate), with all four implementations timed in turn in this process: torch and
pyseg, NCHW and channels_last. Where :func:`pyseg.ops.depthwise_conv.torch_is_faster` sends a call to torch, pyseg's row
is that call. float32 on 1 thread has every shape, the others a selection.

Chosen by variables: PYSEG_BENCH_SHAPES (CxHxW, comma-separated), PYSEG_BENCH_THREADS, PYSEG_BENCH_TIME; a look
(PYSEG_BENCH_SIZES, which run.py --quick sets) takes the selection alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from rows import REPLAY, record
from timing import interleave

import pyseg
from pyseg import _runtime

torch = pytest.importorskip("torch")

from pyseg.ops.depthwise_conv import torch_is_faster  # noqa: E402

SELECTION = ("64x64x128", "728x33x33", "2048x65x65")
ALL = [f"{c}x{size}" for c in (64, 320, 728, 2048) for size in ("33x33", "65x65", "64x128")]
QUICK = "PYSEG_BENCH_SIZES" in os.environ
SHAPES = os.environ.get("PYSEG_BENCH_SHAPES", ",".join(SELECTION if QUICK else ALL)).split(",")
THREADS = [int(t) for t in (os.environ.get("PYSEG_BENCH_THREADS") or "1,2").split(",")]
RATES, FEW_RATES = (1, 2, 6, 12, 18, 36), (1, 2, 12, 36)
PASSES = ("forward", "grad_input", "grad_weight")
DTYPES = ("float32", "bfloat16")
WIDE = "96x56x56"  # 7x7, rate 1

pytestmark = pytest.mark.benchmark(timer=REPLAY)

Call = Callable[[Any], object]


def _cases() -> list[Any]:
    cases = []
    for threads in THREADS:
        for dtype in DTYPES:
            whole = threads == 1 and dtype == "float32" and not QUICK
            for what in PASSES:
                for shape in SHAPES:
                    if whole or shape in SELECTION:
                        cases += [(what, dtype, threads, shape, 3, r) for r in (RATES if whole else FEW_RATES)]
                cases.append((what, dtype, threads, WIDE, 7, 1))
    return cases


def _calls(what: str, dtype: str, shape: str, k: int, rate: int, rounded: str) -> dict[str, Call]:
    channels, height, width = map(int, shape.split("x"))
    numbers, values = getattr(torch, dtype), getattr(torch, rounded)  # of inputs, and of what they are rounded to
    torch.manual_seed(0)
    weight = torch.randn(channels, 1, k, k).to(values).to(numbers)
    planes = [torch.randn(1, channels, height, width).to(values).to(numbers) for _ in range(2)]
    geometry = ([1, 1], [rate * (k // 2)] * 2, [rate, rate])
    ops = _runtime.torch_ops()
    calls: dict[str, Call] = {}
    for suffix, memory_format in (("", torch.contiguous_format), ("_last", torch.channels_last)):
        x, grad = (p.contiguous(memory_format=memory_format) for p in planes)
        to_torch = torch_is_faster(x, weight, [rate, rate])
        if what == "forward":
            calls[f"torch{suffix}"] = lambda _, x=x: torch.nn.functional.conv2d(x, weight, None, *geometry, channels)
            calls[f"pyseg{suffix}"] = lambda _, x=x: pyseg.depthwise_conv2d(x, weight, dilation=rate)
            continue
        mask = [what == "grad_input", what == "grad_weight", False]
        theirs: Call = lambda _, x=x, g=grad, m=mask: torch.ops.aten.convolution_backward(  # noqa: E731
            g, x, weight, None, *geometry, False, [0, 0], channels, m
        )
        op = getattr(ops, f"depthwise_conv2d_{what}")
        mine: Call = lambda _, x=x, g=grad, op=op: op(g, x, weight, *geometry)  # noqa: E731
        # Tensors of which gradients are required go elsewhere by another rule.
        to_torch = to_torch and k <= 3 and rate == 1
        calls |= {f"torch{suffix}": theirs, f"pyseg{suffix}": theirs if to_torch else mine}
    return calls


def _error(mine: Any, theirs: Any) -> float:
    pair = [t if isinstance(t, torch.Tensor) else next(u for u in t if u is not None) for t in (mine, theirs)]
    return float((pair[0].double() - pair[1].double()).abs().max() / pair[1].double().abs().max())


@pytest.mark.parametrize(("what", "dtype", "threads", "shape", "k", "rate"), _cases())
def test_depthwise(benchmark: Any, what: str, dtype: str, threads: int, shape: str, k: int, rate: int) -> None:
    torch.set_num_threads(threads)
    with torch.no_grad():
        calls = _calls(what, dtype, shape, k, rate, dtype)
        exact = _calls(what, "float32", shape, k, rate, dtype)
        limit = 1e-5 if dtype == "float32" else 2e-2
        for suffix in ("", "_last"):  # the same work, before it is timed
            assert _error(calls[f"pyseg{suffix}"](0), exact[f"torch{suffix}"](0)) < limit
        samples = interleave(calls, [0], threads, seconds=2)
    best = samples.best(["torch", "torch_last"])
    assert best is not None
    facts: dict[str, Any] = {f"ms_{name}": 1e3 * samples.typical(name) for name in calls}
    for suffix in ("", "_last"):
        facts[f"same{suffix}"] = samples.ratio(f"pyseg{suffix}", f"torch{suffix}")
        facts[f"best{suffix}"] = samples.ratio(f"pyseg{suffix}", best)
    facts |= {"pass": what, "dtype": dtype, "threads": threads, "shape": shape, "k": k, "rate": rate}
    facts |= {"clock": "process CPU time" if threads == 1 else "wall clock", "load": samples.load}
    record(benchmark, samples.of("pyseg"), f"depthwise_conv {what} {dtype}, threads: {threads}", **facts)
