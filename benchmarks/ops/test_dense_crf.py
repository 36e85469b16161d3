"""dense_crf beside pydensecrf. Every (case, threads) is one group, timed in turn in this process, reported row by row.

Chosen by variables: PYSEG_BENCH_CASES (names of CASES), PYSEG_BENCH_THREADS (``1,2``), PYSEG_BENCH_TIME (0.1: a look).
What is timed is everything from image and energies to probabilities: lattices, normalisation, ten iterations.
pydensecrf has one thread; beside 2 of ours it is timed by the wall clock too.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from typing import Any

import crf_cases
import numpy as np
import pytest
from implementations import ISA, use_isa
from rows import REPLAY, record
from timing import Samples, interleave

import pyseg
from pyseg import _runtime

CASES = os.environ.get("PYSEG_BENCH_CASES", ",".join(crf_cases.CASES)).split(",")
THREADS = os.environ.get("PYSEG_BENCH_THREADS") or os.environ.get("PYSEG_NUM_THREADS") or "1,2"
TITLES = {
    "pyseg": "pyseg, float32",
    "pyseg_float16": "pyseg, float16 storage",
    "pyseg_anew": "pyseg, float32, spatial lattice anew",
    "pyseg_avx2": "pyseg, float32, AVX2",
    "pydensecrf": "pydensecrf (1 thread)",
}
ONLY_PEER = "pydensecrf"

pytestmark = pytest.mark.benchmark(timer=REPLAY)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("threads", [int(t) for t in THREADS.split(",")])
@pytest.mark.parametrize("name", TITLES)
def test_image(benchmark: Any, case: str, threads: int, name: str) -> None:
    samples, errors, missing = _group(case, threads)
    if name in missing:
        pytest.skip(missing[name])
    peer = ONLY_PEER if ONLY_PEER in samples.seconds else None
    facts: dict[str, Any] = {
        "implementation": name,
        "title": TITLES[name],
        "case": crf_cases.CASES[case].title,
        "threads": threads,
        "clock": "process CPU time" if threads == 1 else "wall clock",
        "ms": 1e3 * samples.typical(name),
        "load": samples.load,
        "isa": "avx2" if name == "pyseg_avx2" else ISA,
        "ratio": samples.ratio(name, peer) if peer and name != peer else None,
        **errors.get(name, {}),
    }
    record(benchmark, samples.of(name), f"dense_crf {case}, {threads} threads", **facts)


@functools.cache
def _group(name: str, threads: int) -> tuple[Samples, dict[str, dict[str, float]], dict[str, str]]:
    case = crf_cases.CASES[name]
    inputs = crf_cases.inputs(case)
    calls: dict[str, Callable[[Any], Any]] = {}
    missing: dict[str, str] = {}
    for key in TITLES:
        if key == ONLY_PEER:
            try:
                calls[key] = functools.partial(crf_cases.run_pydensecrf, case)
            except ImportError as error:
                missing[key] = str(error)
        elif key == "pyseg_avx2" and ISA in ("avx2", "baseline"):
            missing[key] = f"this processor, or PYSEG_ISA, has {ISA}"
        else:
            calls[key] = _ours(case, key, threads)
    first = {key: call(inputs[0]) for key, call in calls.items()}
    if "pyseg_avx2" in first:  # the same bits, before it is timed
        np.testing.assert_array_equal(first["pyseg_avx2"], first["pyseg"])
    least = 3 if case.slow else 9
    return interleave(calls, inputs, threads, least=least, most=9 if case.slow else 30), _errors(first), missing


def _ours(case: crf_cases.Case, key: str, threads: int) -> Callable[[Sequence[Any]], Any]:
    storage = "float16" if key == "pyseg_float16" else "float32"

    def call(pair: Sequence[Any]) -> Any:
        pyseg.set_num_threads(threads)
        use_isa("avx2" if key == "pyseg_avx2" else ISA)
        if key == "pyseg_anew":
            _runtime.native().crf_forget_positions()
        return crf_cases.run_pyseg(case, pair, storage)

    return call


def _errors(results: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Of each, against pydensecrf."""
    if ONLY_PEER not in results:
        return {}
    expected = results[ONLY_PEER]
    labels = expected.argmax(0)
    errors = {}
    for name, q in results.items():
        difference = np.abs(q - expected)
        errors[name] = {
            "label_agreement": float((q.argmax(0) == labels).mean()),
            "max_difference": float(difference.max()),
            "mean_difference": float(difference.mean()),
        }
    return errors
