"""felzenszwalb beside its peers. Every (size, setting, threads) is one group, timed in turn in this process.

Chosen by variables as ``test_slic.py`` is: PYSEG_BENCH_SIZES, PYSEG_BENCH_THREADS, PYSEG_BENCH_TIME. scikit-image's
labels are compared to ours before they are timed; OpenCV's GraphSegmentation computes in float32 and smooths otherwise.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from implementations import ISA, Call, Missing, superpixels, use_isa
from photographs import photographs
from rows import REPLAY, record
from timing import Samples, interleave

import pyseg

SIZES = os.environ.get("PYSEG_BENCH_SIZES", "481x321,1280x720,1920x1080").split(",")
THREADS = os.environ.get("PYSEG_BENCH_THREADS") or os.environ.get("PYSEG_NUM_THREADS") or "1,2"
SETTINGS = {
    "defaults": {"scale": 1.0, "sigma": 0.8, "min_size": 20},
    "large regions": {"scale": 100.0, "sigma": 0.5, "min_size": 50},  # of scikit-image's gallery
}
TITLES = {
    "pyseg": f"pyseg, {ISA}",
    "pyseg_avx2": "pyseg, avx2",
    "opencv": "OpenCV GraphSegmentation",
    "scikit_image": "scikit-image",
}
OURS = ("pyseg", "pyseg_avx2")
PEERS = ("opencv", "scikit_image")
SAME = 0.999  # of pixels: edges of equal weight come in another order there

pytestmark = pytest.mark.benchmark(timer=REPLAY)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("threads", [int(t) for t in THREADS.split(",")])
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", TITLES)
def test_photograph(benchmark: Any, size: str, threads: int, setting: str, name: str) -> None:
    samples, counts, missing = _group(size, setting, threads)
    if name in missing:
        pytest.skip(missing[name])
    facts: dict[str, Any] = {
        "implementation": name,
        "title": TITLES[name],
        "kind": setting,
        "size": size,
        "threads": threads,
        "clock": "process CPU time" if threads == 1 else "wall clock",
        "median_ms": 1e3 * samples.median(name),
        "minimum_ms": 1e3 * samples.minimum(name),
        "ms": 1e3 * samples.typical(name),
        "segments": counts[name],
        "load": samples.load,
    }
    if name in OURS:
        facts["ratios"] = {peer: samples.ratio(name, peer) for peer in PEERS if peer in samples.seconds}
    plural = "s" if threads > 1 else ""
    record(benchmark, samples.of(name), f"felzenszwalb {size}, {setting}, {threads} thread{plural}", **facts)


@functools.cache
def _group(size: str, setting: str, threads: int) -> tuple[Samples, dict[str, int], dict[str, str]]:
    """Samples, numbers of segments, and why an implementation was not measured."""
    width, height = map(int, size.split("x"))
    pytest.importorskip("skimage", reason="the photographs are scikit-image's")
    inputs = photographs(width, height)
    calls: dict[str, Call] = {}
    counts: dict[str, int] = {}
    missing: dict[str, str] = {}
    labels: dict[str, Any] = {}
    for name, make in _MAKERS.items():
        try:
            calls[name] = make(setting, threads)
        except Missing as error:
            missing[name] = str(error)
            continue
        labels[name] = calls[name](inputs[0])
        counts[name] = superpixels(labels[name])
    if "pyseg_avx2" in labels:
        np.testing.assert_array_equal(labels["pyseg_avx2"], labels["pyseg"])
    assert _alike(labels["scikit_image"], labels["pyseg"]) >= SAME
    return interleave(calls, inputs, threads), counts, missing


def _alike(a: Any, b: Any) -> float:
    """The share of pixels whose region in ``a`` is mostly their region in ``b``."""
    both, count = np.unique(np.stack([a.ravel(), b.ravel()]), axis=1, return_counts=True)
    most = np.zeros(int(a.max()) + 1, np.int64)
    np.maximum.at(most, both[0], count)
    return float(most.sum() / a.size)


def _pyseg(isa: str, setting: str, threads: int) -> Call:
    pyseg.set_num_threads(threads)

    def call(image: Any) -> Any:
        use_isa(isa)
        return pyseg.felzenszwalb(image, **SETTINGS[setting])

    return call


def _pyseg_avx2(setting: str, threads: int) -> Call:
    if not ISA.startswith("avx512"):
        raise Missing(f"pyseg, avx2: the row of {TITLES['pyseg']} is as wide as this processor or PYSEG_ISA allows")
    return _pyseg("avx2", setting, threads)


def _opencv(setting: str, threads: int) -> Call:
    try:
        cv2 = importlib.import_module("cv2")
        make: Callable[..., Any] = cv2.ximgproc.segmentation.createGraphSegmentation
    except (ImportError, AttributeError) as error:
        raise Missing(f"{TITLES['opencv']}: {error}") from error
    cv2.setNumThreads(threads)
    o = SETTINGS[setting]
    graph = make(o["sigma"], o["scale"], int(o["min_size"]))
    return lambda image: graph.processImage(image)


def _scikit_image(setting: str, threads: int) -> Call:
    felzenszwalb = importlib.import_module("skimage.segmentation").felzenszwalb  # has no threads
    return lambda image: felzenszwalb(image, **SETTINGS[setting])


_MAKERS: dict[str, Callable[[str, int], Call]] = {
    "pyseg": lambda setting, threads: _pyseg(ISA, setting, threads),
    "pyseg_avx2": _pyseg_avx2,
    "opencv": _opencv,
    "scikit_image": _scikit_image,
}
