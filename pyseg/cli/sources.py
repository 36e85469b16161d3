"""SOURCE on the command line: files, folders and globs become a list of files, each with a name of its own in OUT."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from ..images import PICTURE_SUFFIXES
from .errors import Refused

__all__ = ["Source", "expand", "in_folder", "is_single_file", "output_names"]


class Source(NamedTuple):
    """A file to work on.

    ``path`` is how it is opened; ``name`` is its path relative to what the user named (the folder, the fixed part of
    the glob, or the file's own folder): the sub-folders that OUT repeats.
    """

    path: Path
    name: Path


def is_single_file(sources: Sequence[str]) -> bool:
    """Whether SOURCE names one file, so that OUT may be a file too."""
    return len(sources) == 1 and os.path.isfile(sources[0])


def expand(
    sources: Sequence[str],
    *,
    recursive: bool,
    out: Path,
    made: Sequence[str] = (),
    endings: Collection[str] = PICTURE_SUFFIXES,
    what: str = "picture",
) -> list[Source]:
    """The files that SOURCE names, in the order given, each folder and glob sorted, each file once.

    Args:
        sources: files (of any name), folders (what has one of ``endings``, hidden files left out) and globs.
        recursive: whether folders are searched to the bottom.
        out: where the command writes. Files in it that end as the command's own outputs are not taken from folders and
            globs: a second run over the same folder sees the same pictures.
        made: how those end, such as ".contours.png".
        endings: in lower case.
        what: the files are called, in the error.

    Raises:
        Refused: a source that does not exist, or nothing found at all.
    """
    found: list[Source] = []
    for text in sources:
        path = Path(text)
        if path.is_dir():
            found += _own(in_folder(path, recursive, endings), out, made)
        elif os.path.lexists(path):
            found.append(Source(path, Path(path.name)))
        elif glob.has_magic(text):
            found += _own(_in_glob(text, endings), out, made)
        else:
            raise Refused(f"SOURCE must be a file, a folder or a glob, and there is no {text}")
    if not found:
        deeper = "" if recursive else " (--recursive searches sub-folders)"
        raise Refused(f"no {what} found in {', '.join(sources)}{deeper}")
    once: dict[str, Source] = {}
    for source in found:
        once.setdefault(os.path.abspath(source.path), source)
    return list(once.values())


def output_names(sources: Sequence[Source]) -> list[Path]:
    """For each source the path in OUT, without ending, that nobody else has.

    The name without its ending where that is enough; where two would meet (a.png, a.jpg) the full name; where even
    full names meet (one/a.png, two/a.png, given as files) the path below the folder that all of these share.

    Raises:
        Refused: two names that still meet.
    """
    full = [source.name for source in sources]
    twice = _repeated(full)
    if any(twice):
        paths = [os.path.abspath(source.path) for source in sources]
        shared = os.path.commonpath([path for path, double in zip(paths, twice, strict=True) if double])
        for i, double in enumerate(twice):
            if double:
                full[i] = Path(os.path.relpath(paths[i], shared))
    names = [name.with_suffix("") for name in full]
    while any(twice := _repeated(names)):
        longer = [f if double else n for f, n, double in zip(full, names, twice, strict=True)]
        if longer == names:
            first, second = [s.path for s, double in zip(sources, twice, strict=True) if double][:2]
            raise Refused(f"every source must have a name of its own, got {first} and {second}")
        names = longer
    return names


def _repeated(names: Sequence[Path]) -> list[bool]:
    keys = [str(name).casefold() for name in names]  # some file systems do not tell A from a
    count = Counter(keys)
    return [count[key] > 1 for key in keys]


def in_folder(folder: Path, recursive: bool, endings: Collection[str] = PICTURE_SUFFIXES) -> list[Source]:
    """The files in a folder that have one of ``endings``, sorted, without hidden ones."""

    def unreadable(error: OSError) -> None:
        raise Refused(f"cannot list {error.filename}: {error.strerror}")

    found: list[Source] = []
    for here, folders, files in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(name for name in folders if recursive and not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in endings:
                path = Path(here, name)
                found.append(Source(path, path.relative_to(folder)))
    return found


def _in_glob(pattern: str, endings: Collection[str]) -> list[Source]:
    parts = Path(pattern).parts
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    base = Path(*parts[:fixed])
    ending = Path(pattern).suffix
    any_ending = not ending or glob.has_magic(ending)  # photos/* is meant to find the pictures, photos/*.dat the .dat
    return [
        Source(path, path.relative_to(base))
        for path in map(Path, sorted(glob.glob(pattern, recursive=True)))
        if path.is_file() and (not any_ending or path.suffix.lower() in endings)
    ]


def _own(found: list[Source], out: Path, made: Sequence[str]) -> list[Source]:
    inside = out.resolve()
    return [s for s in found if not (s.path.name.endswith(tuple(made)) and s.path.resolve().is_relative_to(inside))]
