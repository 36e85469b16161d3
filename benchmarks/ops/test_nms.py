"""nms and batched_nms beside torchvision's, which has one thread. Every case and number of threads is one group.

Chosen by variables: PYSEG_BENCH_THREADS, PYSEG_BENCH_TIME. Indices are compared before they are timed.
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

import pyseg

THREADS = os.environ.get("PYSEG_BENCH_THREADS") or os.environ.get("PYSEG_NUM_THREADS") or "1,2"
CASES = {
    f"{'batched_' if batched else ''}nms of {count}": (count, batched)
    for batched in (False, True)
    for count in (1000, 5000, 20000)
}
NAMES = ("pyseg", "pyseg_avx2", "torchvision")

pytestmark = pytest.mark.benchmark(timer=REPLAY)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("threads", [int(t) for t in THREADS.split(",")])
@pytest.mark.parametrize("name", NAMES)
def test_boxes(benchmark: Any, case: str, threads: int, name: str) -> None:
    samples, missing = _group(case, threads)
    if name in missing:
        pytest.skip(missing[name])
    box_cases.row(benchmark, samples, name, "nms", case, threads)


@functools.cache
def _group(case: str, threads: int) -> tuple[Samples, dict[str, str]]:
    count, batched = CASES[case]
    torch.manual_seed(0)
    scores, classes = torch.randperm(count) / count, torch.randint(0, 80, (count,))
    inputs = [box_cases.boxes(seed, count, 1200, 800, 0.02, 0.3) for seed in range(3)]

    def of(module: Any) -> Callable[[Any], Any]:
        if batched:
            return lambda b: module.batched_nms(b, scores, classes, 0.5)
        return lambda b: module.nms(b, scores, 0.5)

    def same(name: str, result: Any, mine: Any) -> None:
        assert torch.equal(result, mine), name

    makers = {
        "pyseg": lambda: of(pyseg),
        "pyseg_avx2": lambda: of(pyseg),
        "torchvision": lambda: of(box_cases.torchvision("torchvision.ops")),
    }
    return box_cases.group(makers, inputs, threads, same)
