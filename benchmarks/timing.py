"""Interleaved timing: one call of each implementation in turn, A B, B A, A B ...: a machine that slows down slows all.

One thread: CPU time of the whole process, which neighbours on the machine hardly change and which charges a hidden
second thread; the ratio is the median of the ratios within a round. More threads: wall clock, and the ratio of the
minima, because on a busy machine a barrier between threads waits for whole time slices: such figures count on a quiet
machine only, and ``load_note`` says when it is not.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Samples", "clock_for", "interleave", "load_note"]

FLOOR_S = 0.02  # a sample lasts at least this long, of as many calls as that takes
STRIDES = (1, 2, 4)  # a slow one takes part in every second or fourth round; no common factor with three inputs


@dataclass(frozen=True)
class Samples:
    """Seconds per call, by implementation and round; an implementation that is slow sits out some rounds."""

    threads: int
    seconds: dict[str, dict[int, float]]
    load: float

    def of(self, name: str) -> list[float]:
        return list(self.seconds[name].values())

    def median(self, name: str) -> float:
        return statistics.median(self.of(name))

    def minimum(self, name: str) -> float:
        return min(self.of(name))

    def typical(self, name: str) -> float:
        """What stands for an implementation: the median of CPU times, the minimum of wall-clock times."""
        return self.median(name) if self.threads == 1 else self.minimum(name)

    def ratio(self, ours: str, peer: str) -> float:
        """How many times faster ``ours`` is than ``peer``."""
        if self.threads > 1:
            return self.minimum(peer) / max(self.minimum(ours), 1e-9)
        mine, its = self.seconds[ours], self.seconds[peer]
        return statistics.median(its[i] / max(mine[i], 1e-9) for i in mine.keys() & its.keys())

    def best(self, names: Iterable[str]) -> str | None:
        """The fastest of those among ``names`` that were measured."""
        return min((name for name in names if name in self.seconds), key=self.typical, default=None)


def clock_for(threads: int) -> Callable[[], float]:
    return time.process_time if threads == 1 else time.perf_counter


def load_note(load: float) -> str:
    """Says where a machine had other work in the last minute; empty where it had none."""
    cores = os.cpu_count() or 1
    return f"load {load:.1f} on {cores} cores: not quiet" if load > cores + 0.5 else ""


def interleave(
    functions: Mapping[str, Callable[[Any], object]],
    inputs: Sequence[Any],
    threads: int,
    *,
    seconds: float = 10.0,
    least: int = 9,
    most: int = 30,
) -> Samples:
    """Times every function on the same input in each round, and on the next input in the next round.

    Args:
        functions: each takes one of ``inputs``.
        inputs: taken in rotation, so that nothing gets used to one.
        threads: what the functions were told to use; chooses the clock.
        seconds: no further round begins after this long; the variable PYSEG_BENCH_TIME multiplies it.
        least, most: rounds. ``least`` falls to 3 where PYSEG_BENCH_TIME is below 1.
    """
    factor = float(os.environ.get("PYSEG_BENCH_TIME", "1"))
    least = least if factor >= 1 else min(least, 3)
    clock = clock_for(threads)
    plans = {name: _calls(function, inputs[0], clock) for name, function in functions.items()}
    strides = _strides({name: calls * once for name, (calls, once) in plans.items()}, threads)
    taken: dict[str, dict[int, float]] = {name: {} for name in functions}
    end = time.perf_counter() + seconds * factor
    names = list(functions)
    for i in range(most):
        for name in names if i % 2 == 0 else names[::-1]:
            if i % strides[name] == 0:
                taken[name][i] = _sample(functions[name], inputs[i % len(inputs)], plans[name][0], clock)
        if i + 1 >= least and time.perf_counter() > end:
            break
    return Samples(threads, taken, os.getloadavg()[0])


def _sample(function: Callable[[Any], object], value: Any, calls: int, clock: Callable[[], float]) -> float:
    start = clock()
    for _ in range(calls):
        function(value)
    return (clock() - start) / calls


def _calls(function: Callable[[Any], object], value: Any, clock: Callable[[], float]) -> tuple[int, float]:
    """Calls in a sample, and the seconds of one. The first call also warms up caches, thread pools and buffers."""
    once = _sample(function, value, 1, clock)
    if once < FLOOR_S:
        once = max(_sample(function, value, 1, clock), 1e-6)
    return max(1, min(1000, math.ceil(FLOOR_S / once))), once


def _strides(samples: dict[str, float], threads: int) -> dict[str, int]:
    """Slow ones sit out rounds: else the slowest would leave the others with few.

    With threads at most every second one: a single wall-clock time may be slow by chance, and minima need many.
    """
    fastest = max(min(samples.values()), FLOOR_S)
    allowed = STRIDES if threads == 1 else STRIDES[:2]
    return {
        name: max(stride for stride in allowed if stride == 1 or taken >= 5 * fastest * stride)
        for name, taken in samples.items()
    }
