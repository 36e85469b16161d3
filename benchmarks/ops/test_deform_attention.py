"""deform_attention beside grid_sample. Every (case, mode, threads) is one group, timed in turn in this process.

Chosen by variables: PYSEG_BENCH_CASES (names of CASES), PYSEG_BENCH_THREADS (``1,2``), PYSEG_BENCH_TIME (0.1: a look).
"""

from __future__ import annotations

import functools
import os
from typing import Any

import deform_cases
import pytest
import torch
from implementations import ISA
from rows import REPLAY, record
from timing import Samples, interleave

CASES = os.environ.get("PYSEG_BENCH_CASES", ",".join(deform_cases.CASES)).split(",")
THREADS = os.environ.get("PYSEG_BENCH_THREADS") or os.environ.get("PYSEG_NUM_THREADS") or "1,2"
TITLES = {
    "pyseg": f"pyseg, float32, {ISA}",
    "pyseg_avx2": "pyseg, float32, avx2",
    "pyseg_bfloat16": "pyseg, bfloat16",
    "grid_sample": "grid_sample, float32",
}
PEER = "grid_sample"
BAR = 2e-5  # of float32's errors

pytestmark = pytest.mark.benchmark(timer=REPLAY)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("mode", deform_cases.MODES)
@pytest.mark.parametrize("threads", [int(t) for t in THREADS.split(",")])
@pytest.mark.parametrize("name", TITLES)
def test_attention(benchmark: Any, case: str, mode: str, threads: int, name: str) -> None:
    samples, errors = _group(case, mode, threads)
    if name not in samples.seconds:
        pytest.skip(f"{TITLES[name]}: the other row of pyseg is as wide as this processor or PYSEG_ISA allows")
    facts: dict[str, Any] = {
        "implementation": name,
        "title": TITLES[name],
        "case": deform_cases.CASES[case].title,
        "mode": mode,
        "threads": threads,
        "clock": "process CPU time" if threads == 1 else "wall clock",
        "ms": 1e3 * samples.typical(name),
        "load": samples.load,
        "error": errors[name],
        "ratio": None if name == PEER else samples.ratio(name, PEER),
    }
    record(benchmark, samples.of(name), f"deform_attention {case}, {mode}, {threads} threads", **facts)


@functools.cache
def _group(case: str, mode: str, threads: int) -> tuple[Samples, dict[str, float]]:
    torch.set_num_threads(threads)
    calls = {
        name: deform_cases.implementation(name.removesuffix("_avx2"), mode, "avx2" if name == "pyseg_avx2" else ISA)
        for name in TITLES
        if name != "pyseg_avx2" or ISA.startswith("avx512")
    }
    errors = _errors(case, mode)
    assert errors["pyseg"] < BAR, errors
    return interleave(calls, deform_cases.problems(case), threads, seconds=2.0, least=5), errors


@functools.cache
def _errors(case: str, mode: str) -> dict[str, float]:
    calls = {name: deform_cases.implementation(name, mode, ISA) for name in TITLES if name != "pyseg_avx2"}
    found = deform_cases.errors(case, mode, calls)
    return found | {"pyseg_avx2": found["pyseg"]}  # the same bits, as the tests show
