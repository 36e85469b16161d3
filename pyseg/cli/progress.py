"""How far a run is: a bar with rate and time left on a terminal, else a plain line now and then. All on stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

__all__ = ["Progress"]

LINES = 20  # a log gets about this many, and at most one per file


class Progress:
    """A context manager; ``step()`` once per file.

    Args:
        total: number of files; a run over one file shows no progress.
        quiet: show none.
    """

    def __init__(self, total: int, *, quiet: bool = False) -> None:
        self._total = total
        self._show = total > 1 and not quiet
        self._quiet = quiet
        self._seen = self._worked = 0
        self._start = time.perf_counter()
        self._bar: Any = None

    def __enter__(self) -> Progress:
        if self._show and sys.stderr.isatty():
            from rich import progress
            from rich.console import Console

            self._bar = progress.Progress(
                progress.BarColumn(),
                progress.MofNCompleteColumn(),
                progress.TextColumn("{task.fields[rate]}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task("", total=self._total, rate="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def step(self, *, worked: bool = True) -> None:
        """One file more. One that was skipped (``worked=False``) says nothing about the rate."""
        self._seen += 1
        self._worked += worked
        if self._bar is not None:
            self._bar.update(self._task, completed=self._seen, rate=self._rate())
        elif self._show and self._seen % -(-self._total // LINES) == 0 and self._seen < self._total:
            print(f"{self._seen}/{self._total} {self._rate()}", file=sys.stderr)

    def say(self, text: str) -> None:
        """A line above the bar."""
        if self._quiet:
            return
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=sys.stderr)

    def _rate(self) -> str:
        rate = self._worked / max(time.perf_counter() - self._start, 1e-9)
        left = (self._total - self._seen) / rate if rate else 0.0
        minutes, seconds = divmod(round(left), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{rate:.3g} files/s, {hours}:{minutes:02}:{seconds:02} left"
