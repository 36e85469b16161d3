"""Whole ASPPs in evaluation, and separable branches, beside the same of torch's layers in both of its layouts.

Chosen by variables as ``test_slic.py`` is: PYSEG_BENCH_THREADS, PYSEG_BENCH_TIME.
"""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Callable
from typing import Any

import pytest
import torch
from implementations import ISA
from rows import REPLAY, record
from timing import Samples, interleave

import pyseg

THREADS = os.environ.get("PYSEG_BENCH_THREADS") or os.environ.get("PYSEG_NUM_THREADS") or "1,2"
# height, width, rates of an ASPP of 2048 channels, or the one of a separable branch
CASES = {
    ("ASPP", "2048 to 256, 65x65, rates 12, 24, 36"): (65, 65, (12, 24, 36)),
    ("ASPP", "2048 to 256, 65x65, rates 6, 12, 18"): (65, 65, (6, 12, 18)),
    ("ASPP", "2048 to 256, 33x33, rates 6, 12, 18"): (33, 33, (6, 12, 18)),
    ("separable branch", "2048 to 256, 65x65, rate 12"): (65, 65, (12,)),
    ("separable branch", "2048 to 256, 65x65, rate 24"): (65, 65, (24,)),
    ("separable branch", "2048 to 256, 33x33, rate 12"): (33, 33, (12,)),
    ("separable branch", "2048 to 256, 64x128, rate 12"): (64, 128, (12,)),
}
TITLES = {
    "torch_planes": "torch, planes",
    "torch_last": "torch, channels last",
    "pyseg_planes": f"pyseg, planes, {ISA}",
    "pyseg_last": f"pyseg, channels last, {ISA}",
    "pyseg_fast": "pyseg, planes, with F(4,3)",
    "pyseg_avx2": "pyseg, planes, avx2",
}
PEERS = ("torch_planes", "torch_last")
Forward = Callable[[torch.Tensor], torch.Tensor]

pytestmark = pytest.mark.benchmark(timer=REPLAY)


@pytest.mark.parametrize(("kind", "shape"), CASES)
@pytest.mark.parametrize("threads", [int(t) for t in THREADS.split(",")])
@pytest.mark.parametrize("name", TITLES)
def test_layer(benchmark: Any, kind: str, shape: str, threads: int, name: str) -> None:
    samples, errors = _group(kind, shape, threads)
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
        facts["ratio_to_planes"] = samples.ratio(name, "torch_planes")
    record(benchmark, samples.of(name), f"{kind} {shape}, {threads} thread{'s' if threads > 1 else ''}", **facts)


@functools.cache
def _group(kind: str, shape: str, threads: int) -> tuple[Samples, dict[str, float]]:
    torch.set_num_threads(threads)
    height, width, rates = CASES[kind, shape]
    torch.manual_seed(0)
    x = torch.randn(1, 2048, height, width)
    theirs, ours = _aspp(rates) if kind == "ASPP" else _separable(rates[0])
    last = x.contiguous(memory_format=torch.channels_last)
    theirs_last = copy.deepcopy(theirs).to(memory_format=torch.channels_last)
    made: dict[str, tuple[str, Forward, torch.Tensor, bool]] = {
        "torch_planes": (ISA, theirs, x, False),
        "torch_last": (ISA, theirs_last, last, False),
        "pyseg_planes": (ISA, ours, x, False),
        "pyseg_last": (ISA, ours, last, False),
    }
    if kind == "ASPP":
        made["pyseg_fast"] = (ISA, ours, x, True)
    if ISA.startswith("avx512"):
        made["pyseg_avx2"] = ("avx2", ours, x, False)
    calls = {name: _with(*arguments) for name, arguments in made.items()}
    with torch.no_grad():
        want = copy.deepcopy(theirs).double()(x.double())
    errors = {name: float((call(None).double() - want).abs().max() / want.abs().max()) for name, call in calls.items()}
    for name, error in errors.items():
        assert error <= (5e-5 if name == "pyseg_fast" else 3e-6), (name, error)
    return interleave(calls, [None], threads, seconds=8.0, least=5), errors


def _with(isa: str, forward: Forward, x: torch.Tensor, fast: bool) -> Callable[[Any], torch.Tensor]:
    def run(_: Any) -> torch.Tensor:
        torch.ops.pyseg.set_isa(isa)
        pyseg.backends.allow_winograd4 = fast
        with torch.no_grad():
            return forward(x)

    return run


def _aspp(rates: tuple[int, ...]) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Torch's layers, and ours with the same parameters."""
    pyseg.info()  # loads the operators
    ours = pyseg.nn.ASPP(2048, rates).eval()
    theirs = copy.deepcopy(ours)
    theirs.algorithm = "torch"
    for module in theirs.modules():
        if isinstance(module, pyseg.nn.AtrousConv2d):
            module.__class__ = torch.nn.Conv2d  # type: ignore[assignment]
    return theirs, ours


def _separable(rate: int) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Depthwise, ReLU, 1 x 1."""

    def layers(conv: type[torch.nn.Conv2d]) -> torch.nn.Sequential:
        return torch.nn.Sequential(
            conv(2048, 2048, 3, padding=rate, dilation=rate, groups=2048, bias=False),
            torch.nn.ReLU(),
            conv(2048, 256, 1, bias=False),
        )

    class Ours(torch.nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            depthwise, _, pointwise = self
            y = pyseg.depthwise_conv2d(x, depthwise.weight, dilation=rate, activation="relu")
            return pointwise(y)  # type: ignore[no-any-return]

    theirs = layers(torch.nn.Conv2d)
    ours = Ours(*layers(pyseg.nn.AtrousConv2d))
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours
