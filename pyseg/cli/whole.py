"""Is a file that an earlier run may have left complete? Cheap looks at its two ends, no decoding."""

from __future__ import annotations

import math
import os
import zipfile
from pathlib import Path

__all__ = ["is_whole"]

_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


def is_whole(path: Path) -> bool:
    """Whether ``path`` is a file that begins as its ending says and was not cut short.

    pyseg writes a file whole or not at all; this is for what happened to it since: a full disk, a broken copy.
    """
    try:
        if not path.is_file() or path.stat().st_size == 0:
            return False
        suffix = path.suffix.lower()
        if suffix == ".npz":
            with zipfile.ZipFile(path) as archive:  # the list of members stands at the end of the file
                return not {"labels.npy", "probs.npy"}.isdisjoint(archive.namelist())
        if suffix == ".npy":
            return _npy(path)
        if suffix in {".tif", ".tiff"}:
            return _tiff(path)
        return _by_ends(path, suffix)
    except Exception:  # whatever a broken file does to these readers, it is not whole
        return False


def _by_ends(path: Path, suffix: str) -> bool:
    ends = {
        ".png": (b"\x89PNG\r\n\x1a\n", _PNG_END),
        ".jpg": (b"\xff\xd8\xff", b"\xff\xd9"),
        ".jpeg": (b"\xff\xd8\xff", b"\xff\xd9"),
    }
    begin, end = ends.get(suffix, (b"", b""))
    with open(path, "rb") as file:
        if file.read(len(begin)) != begin:
            return False
        file.seek(-len(end), os.SEEK_END)
        return file.read() == end if end else True


def _npy(path: Path) -> bool:
    from numpy.lib import format as npy

    with open(path, "rb") as file:
        if npy.read_magic(file) != (1, 0):
            return False
        shape, _, dtype = npy.read_array_header_1_0(file)
        return path.stat().st_size == file.tell() + math.prod(shape) * dtype.itemsize


def _tiff(path: Path) -> bool:
    from PIL import TiffImagePlugin

    with TiffImagePlugin.TiffImageFile(path) as image:
        offsets, sizes = image.tag_v2[TiffImagePlugin.STRIPOFFSETS], image.tag_v2[TiffImagePlugin.STRIPBYTECOUNTS]
        end = max(offset + size for offset, size in zip(offsets, sizes, strict=True))
        return bool(end <= path.stat().st_size)
