"""Exceptions of pyseg that are not Python's own."""

from __future__ import annotations

import os

__all__ = ["ImageReadError"]


class ImageReadError(Exception):
    """A picture or label map could not be read.

    Attributes:
        path: the file, as it was given.
        reason: why, in one line.
    """

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        # Both go to args, so that the exception survives pickling (worker processes hand it on).
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot read {os.fspath(self.path)}: {self.reason}"
