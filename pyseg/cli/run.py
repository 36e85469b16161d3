"""The loop that every command over files shares: progress, resume, bad files, manifest, Ctrl-C."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ImageReadError
from .errors import Refused
from .options import OnError
from .progress import Progress
from .whole import is_whole

__all__ = ["Done", "Item", "RunOptions", "check_outputs", "reason", "run", "shown"]

# Where nothing can be written, the next file will not fare better.
_FATAL = {errno.ENOSPC, errno.EROFS, errno.EDQUOT}


@dataclass(frozen=True)
class Item:
    """One source and the files to be made from it."""

    source: Path
    outputs: tuple[Path, ...]


@dataclass(frozen=True)
class Done:
    """What a command reports of one source."""

    n: int  # superpixels, instances, people: what the command counts
    seconds: float  # of the computation alone
    text: str  # the line printed where the source is the only one


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """As in :mod:`pyseg.cli.options`."""

    resume: bool = False
    can_resume: bool = True  # whether the command has that option
    on_error: OnError = OnError.SKIP
    manifest: Path | None = None
    quiet: bool = False


def shown(path: str | os.PathLike[str]) -> str:
    """A path in one printable line: a file name may hold newlines, escape codes and bytes of no encoding."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in os.fspath(path))


def check_outputs(items: Sequence[Item], manifest: Path | None = None, reads: Iterable[Path] = ()) -> None:
    """Before any work: no output may be a source, or stand where something other than a file is, or below a file.

    Args:
        reads: what is read beside the items' sources, which no output may be either.

    Raises:
        Refused: with the first offender.
    """
    sources = {os.path.realpath(path) for path in (*(item.source for item in items), *reads)}
    named = [output for item in items for output in item.outputs] + ([manifest] if manifest else [])
    for output in named:
        if os.path.realpath(output) in sources:
            raise Refused(f"an output must not replace a source, got {shown(output)}")
        if output.exists() and not output.is_file():
            raise Refused(f"an output must be a regular file, got {shown(output)}")
        above = next((folder for folder in output.parents if folder.exists()), Path())
        if not above.is_dir():
            raise Refused(f"an output must be in a folder, got {shown(output)} where {shown(above)} is a file")


def run(items: Sequence[Item], work: Callable[[Item], Done], options: RunOptions) -> int:
    """Call ``work`` on every item; it writes the item's outputs, whole or not at all, and raises if it cannot.

    The folders of the outputs are made. One item alone prints its text to stdout; progress, the count and the list of
    bad files go to stderr.

    Returns:
        The exit code: 0, 1 if a file was bad, 130 after Ctrl-C (between files or in one, which leaves nothing).
    """
    start = time.perf_counter()
    entries: list[Entry] = []
    try:
        with _manifest(items, options) as record, Progress(len(items), quiet=options.quiet) as progress:
            for item in items:
                entry = (
                    _skip(item) if options.resume and all(map(is_whole, item.outputs)) else _do(item, work, progress)
                )
                entries.append(entry)
                record(entry)
                progress.step(worked=not entry.skipped)
                if entry.fatal or (entry.error and options.on_error is OnError.STOP):
                    break
    except KeyboardInterrupt:
        count = sum(not entry.error for entry in entries)
        goes_on = "; the same command with --resume goes on from here" if options.can_resume else ""
        _say(f"interrupted: {count} of {len(items)} done{goes_on}")
        return 130
    return _report(items, entries, options, time.perf_counter() - start)


@dataclass(frozen=True)
class Entry:
    """What became of one item: a line of the manifest."""

    item: Item
    done: Done | None = None
    error: str | None = None
    skipped: bool = False
    fatal: bool = False

    def line(self) -> dict[str, Any]:
        return {
            "source": os.fspath(self.item.source),
            "outputs": [] if self.error else [os.fspath(path) for path in self.item.outputs],
            "seconds": self.done.seconds if self.done else None,
            "n": self.done.n if self.done else None,
            "error": self.error,
            "skipped": self.skipped,
        }


def _skip(item: Item) -> Entry:
    return Entry(item, skipped=True)


def _do(item: Item, work: Callable[[Item], Done], progress: Progress) -> Entry:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            for output in item.outputs:
                output.parent.mkdir(parents=True, exist_ok=True)
            entry = Entry(item, work(item))
        except Exception as error:  # one bad file of ten thousand must not end the run
            fatal = isinstance(error, OSError) and error.errno in _FATAL
            entry = Entry(item, error=reason(error), fatal=fatal)
    for text in dict.fromkeys(str(warning.message) for warning in caught):  # a decoder repeats itself
        progress.say(f"warning: {shown(item.source)}: {shown(text)}")
    return entry


def reason(error: Exception) -> str:
    """What went wrong, in one line. The class is named where the message was not written for the user of a command."""
    if isinstance(error, ImageReadError):
        text = error.reason
    elif isinstance(error, OSError | ValueError):
        text = str(error)
    else:
        text = f"{type(error).__name__}: {error}"
    return " ".join(shown(text.replace("\n", " ")).split()) or type(error).__name__


@contextlib.contextmanager
def _manifest(items: Sequence[Item], options: RunOptions) -> Iterator[Callable[[Entry], None]]:
    """Line by line, so that it says what was done even if the process dies. A resumed run keeps what it knew."""
    path = options.manifest
    if path is None:
        yield lambda entry: None
        return
    known = _known(path) if options.resume else {}
    left = dict.fromkeys(os.fspath(item.source) for item in items)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "w", encoding="utf-8")  # noqa: SIM115 - closed below; only its opening is the user's error
    except OSError as error:
        raise Refused(f"--manifest cannot be written: {error}") from None

    def write(line: dict[str, Any]) -> None:
        file.write(json.dumps(line) + "\n")
        file.flush()
        left.pop(line["source"], None)

    def record(entry: Entry) -> None:
        line = entry.line()
        write({**known.get(line["source"], line), "skipped": True} if entry.skipped else line)

    with file:
        try:
            yield record
        finally:
            for source in list(left):  # an interrupted run does not forget the files that it had not come to
                if source in known:
                    write(known[source])


def _known(path: Path) -> dict[str, dict[str, Any]]:
    known: dict[str, dict[str, Any]] = {}
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        for text in file:
            with contextlib.suppress(ValueError, KeyError, TypeError):  # the last line of a run that was killed
                line = json.loads(text)
                if line["error"] is None:
                    known[line["source"]] = line
    return known


def _report(items: Sequence[Item], entries: Sequence[Entry], options: RunOptions, seconds: float) -> int:
    bad = [entry for entry in entries if entry.error]
    worked = [entry for entry in entries if entry.done]
    if len(items) == 1 and worked and worked[0].done and not options.quiet:
        print(worked[0].done.text)
    elif not options.quiet:
        skipped = sum(entry.skipped for entry in entries)
        already = f", {skipped} already there" if skipped else ""
        _say(f"{len(worked)} of {len(items)} done in {seconds:.1f} s{already}")
    if bad:
        _say(f"{len(bad)} bad file{'s' * (len(bad) > 1)}:")
        for entry in bad:
            _say(f"  {shown(entry.item.source)}: {entry.error}")
    if len(entries) < len(items):
        _say(f"stopped there; {len(items) - len(entries)} not tried")
    return 1 if bad else 0


def _say(text: str) -> None:
    print(text, file=sys.stderr)
