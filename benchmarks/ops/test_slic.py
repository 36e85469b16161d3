"""slic beside its peers. Every (size, threads) is one group, timed in turn in this process, then reported row by row.

Chosen by variables, so that ``pyseg bench slic``, ``make bench`` and pytest by hand run the same: PYSEG_BENCH_SIZES
(``1280x720,1920x1080``), PYSEG_BENCH_THREADS (``1,2``; else PYSEG_NUM_THREADS), PYSEG_BENCH_TIME (1; 0.1 is a look).
"""

from __future__ import annotations

import functools
import importlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from implementations import ISA, OURS, PEERS, PIXELS_PER_SEGMENT, TITLES, Call, Missing, prepare, superpixels, use_isa
from photographs import VOLUME_NAME, ellipse, five_channels, photographs, volume
from rows import REPLAY, record
from timing import Samples, interleave

import pyseg

SIZES = os.environ.get("PYSEG_BENCH_SIZES", "481x321,1280x720,1920x1080,3840x2160").split(",")
THREADS = os.environ.get("PYSEG_BENCH_THREADS") or os.environ.get("PYSEG_NUM_THREADS") or "1,2"
SLOWEST_S = 2.0  # a peer that takes longer at a size is left out there
GENERAL = ("float32_rgb", "grey", "five_channels", "mask", "volume")

pytestmark = pytest.mark.benchmark(timer=REPLAY)


@dataclass(frozen=True)
class Group:
    """What was measured together; ``missing`` says why an implementation was not."""

    title: str
    segments: int
    samples: Samples
    counts: dict[str, int]
    missing: dict[str, str]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("threads", [int(t) for t in THREADS.split(",")])
@pytest.mark.parametrize("name", TITLES)
def test_photograph(benchmark: Any, size: str, threads: int, name: str) -> None:
    _record(benchmark, _photograph_group(size, threads), name, OURS, "uint8_rgb", size)


@pytest.mark.parametrize("kind", GENERAL)
@pytest.mark.parametrize("name", ["pyseg", "scikit_image"])
def test_general(benchmark: Any, kind: str, name: str) -> None:
    size = VOLUME_NAME if kind == "volume" else _general_size(kind)
    _record(benchmark, _general_group(kind), name, ("pyseg",), kind, size)


def _record(benchmark: Any, group: Group, name: str, ours: Sequence[str], kind: str, size: str) -> None:
    if name in group.missing:
        pytest.skip(group.missing[name])
    samples = group.samples
    facts: dict[str, Any] = {
        "implementation": name,
        "title": TITLES[name],
        "kind": kind,
        "size": size,
        "threads": samples.threads,
        "clock": "process CPU time" if samples.threads == 1 else "wall clock",
        "median_ms": 1e3 * samples.median(name),
        "minimum_ms": 1e3 * samples.minimum(name),
        "ms": 1e3 * samples.typical(name),
        "segments": group.segments,
        "superpixels": group.counts[name],
        "load": samples.load,
    }
    if name in ours:
        facts["isa"] = "avx2" if name == "pyseg_avx2" else ISA
        facts["best_peer"] = best = samples.best(PEERS)
        facts["ratio_to_best_peer"] = samples.ratio(name, best) if best else None
    else:
        facts["pyseg_is_faster"] = {mine: samples.ratio(mine, name) for mine in ours if mine in samples.seconds}
    record(benchmark, samples.of(name), group.title, **facts)


@functools.cache
def _photograph_group(size: str, threads: int) -> Group:
    width, height = map(int, size.split("x"))
    pytest.importorskip("skimage", reason="the photographs are scikit-image's")
    segments = width * height // PIXELS_PER_SEGMENT
    makers = {name: functools.partial(prepare, name, segments, threads) for name in TITLES}
    title = f"slic {size}, {threads} thread{'s' if threads > 1 else ''}"
    return _measure(title, segments, makers, photographs(width, height), threads, SLOWEST_S)


@functools.cache
def _general_group(kind: str) -> Group:
    pytest.importorskip("skimage")
    if kind == "volume":
        inputs: list[Any] = [volume()]
        segments = inputs[0].size // 512
    else:
        width, height = map(int, _general_size(kind).split("x"))
        inputs = [_general_input(kind, photograph) for photograph in photographs(width, height)]
        segments = width * height // PIXELS_PER_SEGMENT
    makers = {
        "pyseg": functools.partial(_general_pyseg, kind, segments, inputs[0].shape),
        "scikit_image": functools.partial(_general_scikit_image, kind, segments, inputs[0].shape),
    }
    slowest_s = 60.0 if kind == "volume" else SLOWEST_S  # one peer only: better slow than none
    return _measure(f"slic {kind}, 1 thread", segments, makers, inputs, 1, slowest_s)


def _measure(
    title: str,
    segments: int,
    makers: dict[str, Callable[[], Call]],
    inputs: Sequence[Any],
    threads: int,
    slowest_s: float,
) -> Group:
    calls: dict[str, Call] = {}
    counts: dict[str, int] = {}
    missing: dict[str, str] = {}
    first: dict[str, Any] = {}
    for name, make in makers.items():
        try:
            call = make()
        except Missing as error:
            missing[name] = str(error)
            continue
        start = time.perf_counter()
        labels = call(inputs[0])
        took = time.perf_counter() - start
        if took > slowest_s and name not in OURS:
            missing[name] = f"{TITLES[name]}: one call takes {took:.1f} s"
            continue
        calls[name], counts[name] = call, superpixels(labels)
        if name in OURS:
            first[name] = labels
    for labels in first.values():  # the same work, before it is timed
        np.testing.assert_array_equal(labels, first["pyseg"])
    return Group(title, segments, interleave(calls, inputs, threads), counts, missing)


def _general_size(kind: str) -> str:
    # scikit-image seeds a mask by k-means over its pixels: seconds in a larger image.
    return "481x321" if kind == "mask" else "1280x720"


def _general_input(kind: str, photograph: Any) -> Any:
    if kind == "float32_rgb":
        return photograph.astype(np.float32) / 255
    if kind == "grey":
        return np.ascontiguousarray(photograph[..., 1])
    return five_channels(photograph) if kind == "five_channels" else photograph


def _general_pyseg(kind: str, segments: int, shape: tuple[int, ...]) -> Call:
    pyseg.set_num_threads(1)
    use_isa(ISA)
    axis = None if kind in ("grey", "volume") else -1
    mask = ellipse(*shape[:2]) if kind == "mask" else None
    return lambda image: pyseg.slic(image, segments, channel_axis=axis, mask=mask)


def _general_scikit_image(kind: str, segments: int, shape: tuple[int, ...]) -> Call:
    slic = importlib.import_module("skimage.segmentation").slic
    colour = kind in ("float32_rgb", "mask")
    options: dict[str, Any] = {"channel_axis": None if kind in ("grey", "volume") else -1}
    if kind == "mask":
        options["mask"] = ellipse(*shape[:2])
    # Without CIELAB its values range over 1 instead of 100.
    compactness = 10.0 if colour else 0.1
    return lambda image: slic(image, n_segments=segments, compactness=compactness, max_num_iter=10, **options)
