"""Which photograph belongs to a map: the one of the same name."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

from .errors import Refused
from .run import shown
from .sources import Source, in_folder

__all__ = ["Photographs"]


class Photographs:
    """The pictures that ``--images`` names: a folder, or one file for one map.

    Raises:
        Refused: there is no such file or folder, or no picture in the folder.
    """

    def __init__(self, images: Path, *, recursive: bool) -> None:
        self._images = images
        self._file = images if images.is_file() else None
        self._named: dict[str, list[Path]] = defaultdict(list)
        if self._file:
            return
        if not images.is_dir():
            raise Refused(f"--images must be a folder or a picture, and there is no {shown(images)}")
        for source in in_folder(images, recursive):
            self._named[str(source.name.with_suffix(""))].append(source.path)
        if not self._named:
            deeper = "" if recursive else " (--recursive searches sub-folders)"
            raise Refused(f"no picture found in {shown(images)}{deeper}")

    @property
    def is_file(self) -> bool:
        return self._file is not None

    def of(self, source: Source) -> Path | str:
        """The photograph of a map, or why there is none.

        Of the same path below its folder, endings aside: deep/a.npz, deep/a.jpg. Where nothing fits a.probs.npz as a
        whole, what follows the dots goes, from the right: a.jpg. A map is never its own photograph.
        """
        if self._file:
            return self._file
        name = source.name.with_suffix("")
        while True:
            found = [path for path in self._named.get(str(name), ()) if not _same(path, source.path)]
            if len(found) == 1:
                return found[0]
            if found:
                several = ", ".join(shown(path) for path in found)
                return f"which picture is this map's? --images has {several}"
            if not name.suffix:
                return f"no picture of this name in {shown(self._images)}"
            name = name.with_suffix("")


def _same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)
