"""turbopixels beside slic: no peer installs (the authors' MATLAB code takes 10 to 20 s at 481x321).

Every (size, threads) is one group, timed in turn in this process. Quality is measured by the tool and on the images of
``benchmarks/quality.py``; the JSON has it as extra_info, one row for each K.

Chosen by variables as for slic: PYSEG_BENCH_SIZES, PYSEG_BENCH_THREADS, PYSEG_BENCH_TIME.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import quality
from implementations import COMPACTNESS, ISA, use_isa
from numpy.typing import NDArray
from photographs import photographs
from rows import REPLAY, record
from timing import Samples, interleave

import pyseg

SIZES = os.environ.get("PYSEG_BENCH_SIZES", "481x321,1280x720").split(",")
THREADS = os.environ.get("PYSEG_BENCH_THREADS") or os.environ.get("PYSEG_NUM_THREADS") or "1,2"
PIXELS_PER_SEGMENT = 257  # 600 superpixels at 481x321
NAMES = ("turbopixels", "turbopixels_avx2", "turbopixels_baseline", "slic")

pytestmark = pytest.mark.benchmark(timer=REPLAY)

Call = Callable[[NDArray[Any]], NDArray[Any]]


def _call(name: str, segments: int) -> Call:
    op, _, isa = name.partition("_")

    def call(image: NDArray[Any]) -> NDArray[Any]:
        use_isa(isa or ISA)
        labels: NDArray[Any] = getattr(pyseg, op)(image, segments)
        return labels

    return call


@functools.cache
def _group(size: str, threads: int) -> tuple[Samples, dict[str, int]]:
    width, height = map(int, size.split("x"))
    pictures = photographs(width, height)
    pyseg.set_num_threads(threads)
    calls = {name: _call(name, width * height // PIXELS_PER_SEGMENT) for name in NAMES if _runs(name)}
    first = {name: call(pictures[0]) for name, call in calls.items()}
    for name, labels in first.items():  # the same work, before it is timed
        if name != "slic":
            np.testing.assert_array_equal(labels, first["turbopixels"])
    counts = {name: int(labels.max()) + 1 for name, labels in first.items()}
    return interleave(calls, pictures, threads), counts


def _runs(name: str) -> bool:
    isa = name.partition("_")[2]
    return isa == "" or (isa == "avx2" and ISA.startswith("avx512")) or (isa == "baseline" and ISA != "baseline")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("threads", [int(t) for t in THREADS.split(",")])
@pytest.mark.parametrize("name", NAMES)
def test_photograph(benchmark: Any, size: str, threads: int, name: str) -> None:
    pytest.importorskip("skimage", reason="the photographs are scikit-image's")
    if not _runs(name):
        pytest.skip("the row of turbopixels is as wide as this processor or PYSEG_ISA allows")
    samples, counts = _group(size, threads)
    facts = {
        "implementation": name,
        "size": size,
        "threads": threads,
        "clock": "process CPU time" if threads == 1 else "wall clock",
        "ms": 1e3 * samples.typical(name),
        "superpixels": counts[name],
        "times_slic": 1 / samples.ratio(name, "slic"),
        "load": samples.load,
    }
    record(benchmark, samples.of(name), f"turbopixels {size}, threads: {threads}", **facts)


@pytest.mark.parametrize("segments", quality.SEGMENTS)
@pytest.mark.parametrize("name", ["turbopixels", "slic"])
def test_quality(benchmark: Any, segments: int, name: str) -> None:
    tool, pairs, reason = quality._material()
    if tool is None:
        pytest.skip(reason)
    pyseg.set_num_threads(1)
    op = getattr(pyseg, name)
    row = tool.evaluate(lambda image, k, compactness: op(image, k), pairs, segments, COMPACTNESS)
    facts = {key: row[key] for key in (*quality.MEASURES, "n", "cc", "images")}
    record(benchmark, [row["ms"] / 1e3], f"turbopixels quality, K = {segments}", implementation=name, **facts)
