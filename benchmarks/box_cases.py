"""What the benchmarks of the ops on boxes share: boxes, torchvision, and a group of implementations as rows."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from implementations import ISA
from rows import record
from timing import Samples, interleave

from pyseg import _runtime

__all__ = ["TITLES", "boxes", "group", "row", "torchvision", "with_isa"]

TITLES = {
    "pyseg": f"pyseg, {ISA}",
    "pyseg_avx2": "pyseg, avx2",
    "pyseg_channels_last": f"pyseg, {ISA}, channels_last",
    "pyseg_exact": f"pyseg, {ISA}, detectron2's convention",
    "grid_sample": "detectron2's rule by grid_sample",
    "torchvision": "torchvision",
}
PEERS = ("torchvision", "grid_sample")


def boxes(seed: int, count: int, width: float, height: float, low: float, high: float) -> Any:
    """float32 [count, 4] within [0, width] x [0, height]; sides of ``low`` to ``high`` times the whole."""
    import torch

    rng, size = np.random.default_rng(seed), np.array([width, height])
    middle, side = rng.random((count, 2)) * size, rng.uniform(low, high, (count, 2)) * size
    return torch.from_numpy(np.concatenate([middle - side / 2, middle + side / 2], 1).clip(0, [*size, *size])).float()


def torchvision(name: str) -> Any:
    """That module of torchvision, with its operators; ImportError where they do not load."""
    try:
        import torch

        module = importlib.import_module(name)
        torch.ops.torchvision.nms  # noqa: B018
    except Exception as error:  # a wheel for CUDA beside a torch without
        raise ImportError(f"torchvision does not load beside this torch: {error}") from error
    return module


def with_isa(name: str, threads: int, call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """``call`` with the instruction set that the implementation's name says, and so many threads."""
    import torch

    isa = "avx2" if name == "pyseg_avx2" else ISA

    def run(value: Any) -> Any:
        if name.startswith("pyseg"):
            _runtime.torch_ops().set_isa(isa)
        torch.set_num_threads(threads)
        return call(value)

    return run


def group(
    makers: dict[str, Callable[[], Callable[[Any], Any]]],
    inputs: Sequence[Any],
    threads: int,
    same: Callable[..., None],
) -> tuple[Samples, dict[str, str]]:
    """Samples of all, and why one is missing. ``same(name, result, ours)`` compares results before they are timed."""
    calls: dict[str, Callable[[Any], Any]] = {}
    missing: dict[str, str] = {}
    for name, make in makers.items():
        if name == "pyseg_avx2" and not ISA.startswith("avx512"):
            missing[name] = f"this processor, or PYSEG_ISA, has {ISA}"
            continue
        try:
            calls[name] = with_isa(name, threads, make())
        except ImportError as error:
            missing[name] = str(error)
    ours = calls["pyseg"](inputs[0])
    for name, call in calls.items():
        same(name, call(inputs[0]), ours)
    del ours
    return interleave(calls, inputs, threads, seconds=3.0, least=3, most=15), missing


def row(benchmark: Any, samples: Samples, name: str, op: str, case: str, threads: int) -> None:
    peers = {peer: samples.ratio(name, peer) for peer in PEERS if peer in samples.seconds and name not in PEERS}
    record(
        benchmark,
        samples.of(name),
        f"{op}, {case}, {threads} threads",
        implementation=name,
        title=TITLES[name],
        case=case,
        threads=threads,
        clock="process CPU time" if threads == 1 else "wall clock",
        ms=1e3 * samples.typical(name),
        load=samples.load,
        ratios=peers,
    )
