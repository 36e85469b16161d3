"""NumPy's files: read without pickles, with a cap on the number of values that is checked before memory is taken."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ._decode import Refused

__all__ = ["is_npy", "is_npz", "read_npy", "read_npz"]


def is_npy(head: bytes) -> bool:
    """Whether a file that begins so (6 bytes are enough) is an .npy."""
    return head[:6] == b"\x93NUMPY"


def is_npz(head: bytes) -> bool:
    """Whether a file that begins so is a zip archive, be it an empty one, and so an .npz."""
    return head[:4] in {b"PK\3\4", b"PK\5\6"}


def read_npy(file: IO[bytes], limit: int, *, pixels: bool = False) -> NDArray[Any]:
    """The array of an .npy.

    Args:
        limit: the most values that are read.
        pixels: whether the error speaks of pixels and ``max_pixels``.

    Raises:
        Refused: of another version, or larger. Whatever else is wrong raises what NumPy raises.
    """
    version = np.lib.format.read_magic(file)
    if version not in {(1, 0), (2, 0)}:
        raise Refused(f".npy of version {version}, not 1.0 or 2.0")
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape = header(file)[0]
    if math.prod(shape) > limit:
        what, option = ("pixels", " (max_pixels)") if pixels else ("values", "")
        raise Refused(f"[{', '.join(map(str, shape))}] {what} are more than the limit of {limit}{option}")
    file.seek(0)
    array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array


def read_npz(file: IO[bytes], limit: int, key: str | None, usual: Sequence[str] = ()) -> NDArray[Any]:
    """An array of an .npz: ``key``, or else the only one, or else the first of the ``usual`` names that is there.

    Raises:
        Refused: no such array, or none of these; as :func:`read_npy`.
    """
    with zipfile.ZipFile(file) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        if key is None:
            key = names[0] if len(names) == 1 else next((name for name in usual if name in names), None)
        if key not in names:
            wanted = "one array, or a key that says which" if key is None else key
            raise Refused(f"the .npz must hold {wanted}, got {', '.join(names) or 'none'}")
        with archive.open(f"{key}.npy") as member:
            return read_npy(member, limit)
