"""atrous_conv2d beside torch's conv2d in both of its layouts. Every (shape, pass, threads) is one group, in turn.

Chosen by variables as ``test_slic.py`` is: PYSEG_BENCH_THREADS, PYSEG_BENCH_TIME. Errors are against float64, in parts
of the largest value; ours must not be above torch's, but for F(4,3) (5e-5), before anything is timed.
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
# channels, outputs, height, width, kernel, rate
SHAPES = {
    "residual 256, 65x65, rate 2": (256, 256, 65, 65, 3, 2),
    "residual 512, 65x65, rate 4": (512, 512, 65, 65, 3, 4),
    "residual 128, 64x128, rate 2": (128, 128, 64, 128, 3, 2),
    "residual 64, 65x65, rate 2": (64, 64, 65, 65, 3, 2),
    "residual 64, 180x240, rate 1": (64, 64, 180, 240, 3, 1),
    "LargeFOV 512 to 1024, 41x41, rate 12": (512, 1024, 41, 41, 3, 12),
    "ASPP 2048 to 256, 65x65, rate 6": (2048, 256, 65, 65, 3, 6),
    "ASPP 2048 to 256, 64x128, rate 6": (2048, 256, 64, 128, 3, 6),
    "ASPP 2048 to 256, 65x65, rate 12": (2048, 256, 65, 65, 3, 12),
    "ASPP 2048 to 256, 65x65, rate 18": (2048, 256, 65, 65, 3, 18),
    "ASPP 2048 to 256, 65x65, rate 24": (2048, 256, 65, 65, 3, 24),
    "ASPP 2048 to 256, 65x65, rate 36": (2048, 256, 65, 65, 3, 36),
    "ASPP 2048 to 256, 33x33, rate 6": (2048, 256, 33, 33, 3, 6),
    "ASPP 2048 to 256, 33x33, rate 12": (2048, 256, 33, 33, 3, 12),
    "ASPP 2048 to 256, 33x33, rate 18": (2048, 256, 33, 33, 3, 18),
    "1x1, 2048 to 256, 65x65": (2048, 256, 65, 65, 1, 1),
    "1x1, 256 to 1024, 65x65": (256, 1024, 65, 65, 1, 1),
    "1x1, 512 to 2048, 64x64": (512, 2048, 64, 64, 1, 1),
}
# Whose gradients are measured too.
TRAINED = {name for name in SHAPES if "256, 65x65, rate 2" in name or "512, 65x65" in name or "128" in name} | {
    "residual 64, 180x240, rate 1",
    "ASPP 2048 to 256, 65x65, rate 12",
    "ASPP 2048 to 256, 33x33, rate 12",
}
PASSES = ("forward", "input gradient", "weight gradient")
FORMATS = {"planes": torch.contiguous_format, "channels last": torch.channels_last}
TITLES = {
    "torch_planes": "torch, planes",
    "torch_last": "torch, channels last",
    "pyseg_planes": f"pyseg, planes, {ISA}",
    "pyseg_last": f"pyseg, channels last, {ISA}",
    "pyseg_fast": "pyseg, planes, with F(4,3)",
    "pyseg_avx2": "pyseg, planes, avx2",
}
PEERS = ("torch_planes", "torch_last")

pytestmark = pytest.mark.benchmark(timer=REPLAY)


CASES = [(shape, kind) for kind in PASSES for shape in SHAPES if kind == "forward" or shape in TRAINED]


@pytest.mark.parametrize(("shape", "kind"), CASES)
@pytest.mark.parametrize("threads", [int(t) for t in THREADS.split(",")])
@pytest.mark.parametrize("name", TITLES)
def test_convolution(benchmark: Any, shape: str, kind: str, threads: int, name: str) -> None:
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
        facts["ratio_to_planes"] = samples.ratio(name, "torch_planes")
    record(benchmark, samples.of(name), f"{shape}, {kind}, {threads} thread{'s' if threads > 1 else ''}", **facts)


@functools.cache
def _group(shape: str, kind: str, threads: int) -> tuple[Samples, dict[str, float]]:
    torch.set_num_threads(threads)
    calls = _calls(SHAPES[shape], kind)
    want = _exact(SHAPES[shape], kind)
    errors = {name: float((call(None).double() - want).abs().max() / want.abs().max()) for name, call in calls.items()}
    allowed = 1.5 * max(errors[peer] for peer in PEERS)
    for name, error in errors.items():
        assert error <= (5e-5 if name == "pyseg_fast" else max(allowed, 1e-6)), (name, error)
    return interleave(calls, [None], threads, seconds=6.0, least=5), errors


@functools.cache
def _tensors(shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    channels, outputs, height, width, kernel, _ = shape
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, channels, height, width, generator=generator)
    weight = torch.randn(outputs, channels, kernel, kernel, generator=generator) / (channels * kernel**2) ** 0.5
    return x, weight, torch.randn(1, outputs, height, width, generator=generator)


@functools.cache
def _exact(shape: tuple[int, ...], kind: str) -> torch.Tensor:
    x, weight, grad = (t.double() for t in _tensors(shape))
    return _torch_pass(shape, kind, x, weight, grad)()


def _torch_pass(
    shape: tuple[int, ...], kind: str, x: torch.Tensor, weight: torch.Tensor, grad: torch.Tensor
) -> Callable[[], torch.Tensor]:
    rate, padding = [shape[5]] * 2, [shape[5] * (shape[4] // 2)] * 2
    if kind == "forward":
        return lambda: F.conv2d(x, weight, None, 1, padding, rate)  # type: ignore[arg-type]
    mask = [kind == "input gradient", kind == "weight gradient", False]
    backward = torch.ops.aten.convolution_backward
    which = mask.index(True)

    def call() -> torch.Tensor:
        grads = backward(grad, x, weight, None, [1, 1], padding, rate, False, [0, 0], 1, mask)
        return grads[which]  # type: ignore[no-any-return]

    return call


def _pyseg_pass(
    shape: tuple[int, ...], kind: str, x: torch.Tensor, weight: torch.Tensor, grad: torch.Tensor, algorithm: str
) -> Callable[[], torch.Tensor]:
    rate, padding = [shape[5]] * 2, [shape[5] * (shape[4] // 2)] * 2
    ops = torch.ops.pyseg
    if kind == "forward":
        return lambda: pyseg.atrous_conv2d(x, weight, dilation=shape[5], algorithm=algorithm)  # type: ignore[no-any-return]
    inner = "winograd" if shape[4] == 3 else "direct"
    if kind == "input gradient":
        return lambda: ops.atrous_conv2d_grad_input(grad, weight, *x.shape[2:], padding, rate, inner)  # type: ignore[no-any-return]
    kernel = weight.shape[2:]
    return lambda: ops.atrous_conv2d_grad_weight(x, grad, kernel, [1, 1], padding, rate, inner)  # type: ignore[no-any-return]


def _calls(shape: tuple[int, ...], kind: str) -> dict[str, Callable[[Any], torch.Tensor]]:
    x, weight, grad = _tensors(shape)
    pyseg.info()  # loads the operators
    last = {name: t.contiguous(memory_format=torch.channels_last) for name, t in (("x", x), ("grad", grad))}
    last_weight = weight.contiguous(memory_format=torch.channels_last)
    made: dict[str, tuple[str, Callable[[], torch.Tensor]]] = {
        "torch_planes": (ISA, _torch_pass(shape, kind, x, weight, grad)),
        "torch_last": (ISA, _torch_pass(shape, kind, last["x"], last_weight, last["grad"])),
        "pyseg_planes": (ISA, _pyseg_pass(shape, kind, x, weight, grad, "auto")),
        "pyseg_last": (ISA, _pyseg_pass(shape, kind, last["x"], weight, last["grad"], "auto")),
    }
    if kind == "forward" and shape[4] == 3:
        made["pyseg_fast"] = (ISA, _pyseg_pass(shape, kind, x, weight, grad, "fast"))
    if ISA.startswith("avx512"):
        made["pyseg_avx2"] = ("avx2", _pyseg_pass(shape, kind, x, weight, grad, "auto"))

    def with_isa(isa: str, call: Callable[[], torch.Tensor]) -> Callable[[Any], torch.Tensor]:
        def run(_: Any) -> torch.Tensor:
            torch.ops.pyseg.set_isa(isa)
            with torch.no_grad():
                return call()

        return run

    return {name: with_isa(*pair) for name, pair in made.items()}
