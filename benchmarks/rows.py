"""From interleaved samples to pytest-benchmark's rows.

pytest-benchmark times one function to its end before it begins the next, so that a machine that slows down in between
falsifies the ratio. Here all were timed in turn beforehand; ``record`` plays an implementation's samples back through
the ``timer`` of its ``benchmark`` marker, and the tables, statistics and JSON are pytest-benchmark's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

__all__ = ["REPLAY", "record"]


class _Replay:
    """A clock whose differences are the samples."""

    def __init__(self) -> None:
        self._ticks: Iterator[float] = iter(())

    def load(self, samples: Sequence[float]) -> None:
        self._ticks = (tick for sample in samples for tick in (0.0, sample))

    def __call__(self) -> float:
        return next(self._ticks)

    def __repr__(self) -> str:
        return "samples of timing.interleave"


REPLAY = _Replay()


def record(benchmark: Any, samples: Sequence[float], group: str, **facts: Any) -> None:
    """One row, of a test that bears ``pytest.mark.benchmark(timer=REPLAY)``; the JSON has ``facts`` as extra_info."""
    REPLAY.load(samples)
    benchmark.group = group
    benchmark.extra_info.update(facts)
    benchmark.pedantic(lambda: None, rounds=len(samples))
