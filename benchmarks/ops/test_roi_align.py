"""roi_align and its gradient beside torchvision's, which has one thread. Every case and number of threads is one group.

Chosen by variables: PYSEG_BENCH_THREADS, PYSEG_BENCH_TIME. Results are compared bit for bit before they are timed.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import box_cases
import pytest
import torch
from rows import REPLAY
from timing import Samples

from pyseg import _runtime

THREADS = os.environ.get("PYSEG_BENCH_THREADS") or os.environ.get("PYSEG_NUM_THREADS") or "1,2"
CHANNELS = 256
FORWARD = [(h, w, n, k) for h, w in ((200, 304), (50, 76)) for n in (100, 1000) for k in (7, 14)]
BACKWARD = [(h, w, n, k) for h, w in ((200, 304), (50, 76)) for n, k in ((100, 14), (1000, 7))]
CASES = {
    f"{h} x {w}, {n} boxes, {k} x {k}{', gradient' if gradient else ''}": (h, w, n, k, gradient)
    for gradient, cases in ((False, FORWARD), (True, BACKWARD))
    for h, w, n, k in cases
}
NAMES = ("pyseg", "pyseg_avx2", "pyseg_channels_last", "torchvision")

pytestmark = pytest.mark.benchmark(timer=REPLAY)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("threads", [int(t) for t in THREADS.split(",")])
@pytest.mark.parametrize("name", NAMES)
def test_boxes(benchmark: Any, case: str, threads: int, name: str) -> None:
    samples, missing = _group(case, threads)
    if name in missing:
        pytest.skip(missing[name])
    box_cases.row(benchmark, samples, name, "roi_align", case, threads)


@functools.cache
def _group(case: str, threads: int) -> tuple[Samples, dict[str, str]]:
    height, width, count, bins, gradient = CASES[case]
    torch.manual_seed(0)
    shape = (count, CHANNELS, bins, bins) if gradient else (1, CHANNELS, height, width)
    values = torch.randn(shape)
    last = values.to(memory_format=torch.channels_last)
    inputs = [
        torch.cat([torch.zeros(count, 1), box_cases.boxes(seed, count, width, height, 0.05, 0.4)], 1)
        for seed in range(3)
    ]

    def ours(array: Any) -> Callable[[], Callable[[Any], Any]]:
        ops = _runtime.torch_ops()
        if gradient:
            return lambda: lambda b: ops.roi_align_backward(array, b, 1, height, width, 1.0, 2, True)
        return lambda: lambda b: ops.roi_align(array, b, bins, bins, 1.0, 2, True)

    def theirs() -> Callable[[Any], Any]:
        box_cases.torchvision("torchvision")
        op = torch.ops.torchvision
        if gradient:
            return lambda b: op._roi_align_backward(values, b, 1.0, bins, bins, 1, CHANNELS, height, width, 2, True)
        return lambda b: op.roi_align(values, b, 1.0, bins, bins, 2, True)

    def same(name: str, result: Any, mine: Any) -> None:
        assert torch.equal(result, mine), name

    makers = {
        "pyseg": ours(values),
        "pyseg_avx2": ours(values),
        "pyseg_channels_last": ours(last),
        "torchvision": theirs,
    }
    return box_cases.group(makers, inputs, threads, same)
