"""quickshift beside scikit-image's. Every (size, kernel, threads) is one group, timed in turn in this process.

Chosen by variables: PYSEG_BENCH_SIZES (``481x321,1280x720``), PYSEG_BENCH_THREADS (``1,2``; else PYSEG_NUM_THREADS),
PYSEG_BENCH_TIME (1; 0.1 is a look). scikit-image has one thread, whatever pyseg has; pyseg.compat.skimage gives its
labels, which is checked before they are timed.
"""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np
import pytest
from implementations import ISA, TITLES, Call, superpixels, use_isa
from photographs import photographs
from rows import REPLAY, record
from timing import Samples, interleave

import pyseg
from pyseg.compat import skimage as compat

SIZES = os.environ.get("PYSEG_BENCH_SIZES", "481x321,1280x720").split(",")
THREADS = os.environ.get("PYSEG_BENCH_THREADS") or os.environ.get("PYSEG_NUM_THREADS") or "1,2"
KERNELS = ((5, 10), (3, 6))  # kernel_size, max_dist: scikit-image's defaults, and smaller segments
NAMES = {
    "pyseg": TITLES["pyseg"],
    "pyseg_avx2": TITLES["pyseg_avx2"],
    "compat": f"pyseg.compat.skimage, {TITLES['pyseg'].removeprefix('pyseg, ')}",
    "compat_avx2": "pyseg.compat.skimage, AVX2",
    "scikit_image": TITLES["scikit_image"],
}

pytestmark = pytest.mark.benchmark(timer=REPLAY)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: f"{kernel[0]}-{kernel[1]}")
@pytest.mark.parametrize("threads", [int(t) for t in THREADS.split(",")])
@pytest.mark.parametrize("name", NAMES)
def test_photograph(benchmark: Any, size: str, kernel: tuple[int, int], threads: int, name: str) -> None:
    samples, counts = _group(size, kernel, threads)
    if name not in samples.seconds:
        pytest.skip(f"{NAMES[name]}: not beyond {NAMES['pyseg']}")
    title = f"quickshift {size}, kernel_size {kernel[0]}, max_dist {kernel[1]}, {threads} thread"
    record(
        benchmark,
        samples.of(name),
        title + ("s" if threads > 1 else ""),
        implementation=name,
        title=NAMES[name],
        size=size,
        kernel_size=kernel[0],
        max_dist=kernel[1],
        threads=threads,
        clock="process CPU time" if threads == 1 else "wall clock",
        median_ms=1e3 * samples.median(name),
        minimum_ms=1e3 * samples.minimum(name),
        ms=1e3 * samples.typical(name),
        superpixels=counts[name],
        load=samples.load,
        ratio_to_scikit_image=samples.ratio(name, "scikit_image"),
    )


@functools.cache
def _group(size: str, kernel: tuple[int, int], threads: int) -> tuple[Samples, dict[str, int]]:
    theirs = pytest.importorskip("skimage.segmentation").quickshift
    width, height = map(int, size.split("x"))
    inputs = photographs(width, height)
    options = {"kernel_size": kernel[0], "max_dist": kernel[1]}
    calls: dict[str, Call] = {}
    for suffix, isa in (("", ISA), ("_avx2", "avx2")):
        if suffix and not ISA.startswith("avx512"):
            continue
        calls["pyseg" + suffix] = functools.partial(_on, isa, pyseg.quickshift, options)
        calls["compat" + suffix] = functools.partial(_on, isa, compat.quickshift, options)
    calls["scikit_image"] = functools.partial(theirs, **options)
    pyseg.set_num_threads(threads)
    first = {name: call(inputs[0]) for name, call in calls.items()}
    for name, labels in first.items():  # the same work, before it is timed
        expected = first["pyseg" if name.startswith("pyseg") else "scikit_image"]
        np.testing.assert_array_equal(labels, expected)
    return interleave(calls, inputs, threads), {name: superpixels(labels) for name, labels in first.items()}


def _on(isa: str, quickshift: Any, options: dict[str, int], image: Any) -> Any:
    use_isa(isa)
    return quickshift(image, **options)
