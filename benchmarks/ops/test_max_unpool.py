"""max_pool and max_unpool beside torch's: the stages of SegNet at 480x360, and one with odd width.

Every (stage, layout, step, threads) is one group, timed in turn in this process. Results are fresh, as torch's are,
except where one is reused (``out=``): over 32 MB fresh memory costs more than the work.

Chosen by variables: PYSEG_BENCH_STAGES (names of STAGES), PYSEG_BENCH_THREADS (``1,2``), PYSEG_BENCH_TIME (0.1: a
look).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import pytest
from implementations import ISA
from rows import REPLAY, record
from timing import Samples, interleave

torch = pytest.importorskip("torch", reason="the peer is torch's")

import pyseg  # noqa: E402
from pyseg import _runtime  # noqa: E402

STAGES = {
    "177 MB": (4, 64, 360, 480),
    "88 MB": (4, 128, 180, 240),
    "44 MB": (4, 256, 90, 120),
    "22 MB": (4, 512, 45, 60),
    "5 MB": (4, 512, 22, 30),
}
CHOSEN = [s for s in os.environ.get("PYSEG_BENCH_STAGES", ",".join(STAGES)).split(",") if s]
THREADS = [int(t) for t in (os.environ.get("PYSEG_BENCH_THREADS") or "1,2").split(",")]
STEPS = {
    "pool": "pool, with indices",
    "unpool": "unpool",
    "reused": "unpool into out",
    "pool_backward": "gradient of pool",
    "unpool_backward": "gradient of unpool",
}
TITLES = {
    "torch": "torch",
    "pyseg": "pyseg",
    "pyseg_int64": "pyseg, int64 indices",
    "pyseg_avx2": "pyseg, AVX2",
}
WINDOW = [2, 2, 2, 2, 0, 0, 1, 1]
SECONDS = 0.4

pytestmark = pytest.mark.benchmark(timer=REPLAY)


@pytest.mark.parametrize("stage", CHOSEN)
@pytest.mark.parametrize("layout", ["NCHW", "channels_last"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("name", TITLES)
def test_stage(benchmark: Any, stage: str, layout: str, step: str, threads: int, name: str) -> None:
    samples = _group(stage, layout, step, threads)
    if name not in samples.seconds:
        pytest.skip(f"this processor, or PYSEG_ISA, has {ISA}")
    facts = {
        "implementation": name,
        "title": TITLES[name],
        "stage": stage,
        "shape": " x ".join(map(str, STAGES[stage])),
        "layout": layout,
        "step": STEPS[step],
        "threads": threads,
        "clock": "process CPU time" if threads == 1 else "wall clock",
        "ms": 1e3 * samples.typical(name),
        "ratio": None if name == "torch" else samples.ratio(name, "torch"),
        "load": samples.load,
    }
    record(benchmark, samples.of(name), f"max_unpool {stage}, {layout}, {step}, {threads} threads", **facts)


@functools.cache
def _group(stage: str, layout: str, step: str, threads: int) -> Samples:
    torch.set_num_threads(threads)
    calls = _calls(stage, layout, step)
    first = {name: call(None) for name, call in calls.items()}
    for name, result in first.items():  # the same values, before they are timed
        assert torch.equal(result, first["torch"]), name
    least = 5 if step == "reused" or STAGES[stage][2] < 100 else 3
    return interleave(calls, [None], threads, seconds=SECONDS, least=least, most=40)


def _calls(stage: str, layout: str, step: str) -> dict[str, Callable[[Any], Any]]:
    form = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    x = torch.randn(STAGES[stage], generator=torch.Generator().manual_seed(0)).contiguous(memory_format=form)
    y, indices = pyseg.max_pool2d(x, 2)
    places = torch.nn.functional.max_pool2d(x, 2, return_indices=True)[1]
    out, size, last = torch.empty_like(x), list(x.shape[2:]), layout == "channels_last"
    ops, aten = _runtime.torch_ops(), torch.ops.aten
    if step == "pool":
        torchs = lambda: torch.nn.functional.max_pool2d(x, 2, return_indices=True)[0]  # noqa: E731
        ours = lambda kind: pyseg.max_pool2d(x, 2, indices=kind)[0]  # noqa: E731
    elif step in ("unpool", "reused"):
        torchs = lambda: torch.nn.functional.max_unpool2d(y, places, 2, output_size=size)  # noqa: E731
        to = out if step == "reused" else None
        ours = lambda kind: pyseg.max_unpool2d(  # noqa: E731
            y, indices if kind == "uint8" else places, 2, output_size=size, out=to
        )
    elif step == "pool_backward":
        torchs = lambda: aten.max_pool2d_with_indices_backward(  # noqa: E731
            y, x, [2, 2], [2, 2], [0, 0], [1, 1], False, places
        )
        ours = lambda kind: ops.max_spread(  # noqa: E731
            y, indices.codes if kind == "uint8" else places, WINDOW, size, True, False, None, None, False, last
        )
    else:  # as torch's derivative of max_unpool2d
        torchs = lambda: x.flatten(2).gather(2, places.flatten(2)).view_as(y)  # noqa: E731
        ours = lambda kind: ops.max_gather(x, indices.codes if kind == "uint8" else places, WINDOW, last)  # noqa: E731
    avx2 = {"pyseg_avx2": _on("avx2", ours, "uint8")} if ISA.startswith("avx512") else {}
    return {
        "torch": lambda _: torchs(),
        "pyseg": _on(ISA, ours, "uint8"),
        "pyseg_int64": _on(ISA, ours, "int64"),
        **avx2,
    }


def _on(isa: str, ours: Callable[[str], Any], kind: str) -> Callable[[Any], Any]:
    def call(_: Any) -> Any:
        _runtime.torch_ops().set_isa(isa)
        return ours(kind)

    return call
