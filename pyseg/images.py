"""Pictures and label maps: from files to NumPy arrays and back.

``read_image`` takes what people and cameras store and returns one of four arrays: uint8 or uint16, [H, W] or [H, W, 3].
Whatever is wrong with a file, the one exception is :class:`pyseg.errors.ImageReadError`. Everything is written beside
its target and then renamed, so that a file is either whole or not there. Pillow is imported on the first call.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ._decode import Refused, StrPath, decode, orientation_of, pixels, reading, upright
from ._npy import is_npy, is_npz, read_npy

__all__ = [
    "LABEL_SUFFIXES",
    "PICTURE_SUFFIXES",
    "atomic_write",
    "mark_contours",
    "mean_color",
    "read_image",
    "read_labels",
    "show_mask",
    "to_uint8",
    "write_image",
    "write_labels",
]

MAX_PIXELS = 2**28
# What a folder is searched for; a file itself is recognised by its content.
PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".png", ".tif", ".tiff", ".bmp", ".webp", ".ppm", ".pgm", ".pbm", ".pnm", ".gif"}
)
LABEL_SUFFIXES = (".png", ".npy", ".npz", ".tif", ".tiff")

# A packed label map looks like any RGBA picture; this text chunk tells it apart.
_PACKED_KEY, _PACKED = "pyseg-labels", "int32 = r + (g << 8) + (b << 16) + (a << 24)"


def read_image(path: StrPath, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Read a JPEG, PNG, TIFF, BMP, WEBP, PPM/PGM/PBM or GIF file; the content decides, not the name.

    The EXIF orientation is applied. Of a file with several pages or frames the first is read. Grey (1 or 8 bits) gives
    uint8 [H, W]; 16-bit grey gives uint16 [H, W]; everything else gives uint8 [H, W, 3] in RGB order: palettes, CMYK
    and YCbCr are converted, 16-bit colour keeps its upper 8 bits. A picture with transparency is laid on white.

    Args:
        path: the file.
        max_pixels: the largest height x width that is decoded. Checked on the header, before memory is taken: a TIFF
            of 268 bytes can claim 40 GB.

    Returns:
        uint8 or uint16, [H, W] or [H, W, 3], C-contiguous and writable.

    Raises:
        ImageReadError: the file is missing, of another format, truncated, corrupt, or larger than ``max_pixels``; or
            its pixels are floats or 32-bit integers.
        ValueError: ``max_pixels`` is below 1.
    """
    with reading(path, max_pixels) as file:
        image = decode(file, max_pixels)
        return np.ascontiguousarray(upright(pixels(image), orientation_of(image)))


def read_labels(path: StrPath, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.int32]:
    """Read a label map: what :func:`write_labels` wrote, or any 8/16-bit grey or palette PNG, TIFF, .npy or .npz.

    Args:
        path: the file; .npy and .npz are told by their content too. An .npz holds the map under the key ``labels``.
        max_pixels: the largest height x width that is decoded, checked before memory is taken.

    Returns:
        int32 [H, W]. Of a palette picture these are the palette's indices.

    Raises:
        ImageReadError: as in :func:`read_image`; also where the file holds colours, floats, another number of
            dimensions, or a value outside int32.
        ValueError: ``max_pixels`` is below 1.
    """
    with reading(path, max_pixels) as file:
        magic = file.read(6)
        file.seek(0)
        if is_npy(magic):
            return _as_int32(read_npy(file, max_pixels, pixels=True))
        if is_npz(magic):
            with zipfile.ZipFile(file) as archive, archive.open("labels.npy") as member:
                return _as_int32(read_npy(member, max_pixels, pixels=True))
        image = decode(file, max_pixels)
        if image.mode == "RGBA" and image.info.get(_PACKED_KEY) == _PACKED:
            return np.array(image).view("<i4")[..., 0].astype(np.int32)
        if image.mode not in {"1", "L", "P", "I"} and not image.mode.startswith("I;16"):
            raise Refused(f"a label map has one integer per pixel, this picture is {image.mode}")
        return np.array(image).astype(np.int32)


def write_image(path: StrPath, image: NDArray[np.uint8]) -> None:
    """Write a picture as .png, .jpg or .jpeg, whole or not at all.

    Args:
        path: the file; replaced if it exists.
        image: uint8 [H, W] or [H, W, 3] (RGB).

    Raises:
        ValueError: another ending, dtype or shape.
        OSError: the file cannot be written.
    """
    from PIL import Image

    suffix = Path(path).suffix.lower()
    if suffix not in {".png", ".jpg", ".jpeg"}:
        raise ValueError(f"write_image: path must end in .png, .jpg or .jpeg, got {os.fspath(path)}")
    _check_picture("write_image", image, dtypes=("uint8",))
    with atomic_write(path) as file:
        if suffix == ".png":  # level 1: 2.5 times as fast as the default, 10 % larger on a photograph
            Image.fromarray(image).save(file, "PNG", compress_level=1)
        else:
            Image.fromarray(image).save(file, "JPEG", quality=95)


def write_labels(path: StrPath, labels: NDArray[Any]) -> None:
    """Write a label map, whole or not at all. The ending of the path decides how:

    - ``.png``: 16-bit grey where every label is in 0..65535. PNG has no 32-bit grey, so other maps become an RGBA PNG
      of 32 bits per pixel, label = r + (g << 8) + (b << 16) + (a << 24) as a little-endian int32, marked by a text
      chunk that :func:`read_labels` looks for.
    - ``.tif``, ``.tiff``: int32, deflate-compressed.
    - ``.npy``: int32. ``.npz``: int32, compressed, under the key ``labels``.

    Args:
        path: the file; replaced if it exists.
        labels: [H, W] of integers (or bool), each within int32.

    Raises:
        ValueError: another ending or shape, a value outside int32, or an empty map as a picture.
        TypeError: ``labels`` are not integers.
        OSError: the file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in LABEL_SUFFIXES:
        raise ValueError(f"write_labels: path must end in {', '.join(LABEL_SUFFIXES)}, got {os.fspath(path)}")
    try:
        small = _as_int32(np.asarray(labels))
    except Refused as refused:
        error = TypeError if np.asarray(labels).dtype.kind not in "biu" else ValueError
        raise error(f"write_labels: {refused}") from None
    if suffix in {".npy", ".npz"}:
        with atomic_write(path) as file:
            if suffix == ".npy":
                np.save(file, small, allow_pickle=False)
            else:
                np.savez_compressed(file, labels=small)
        return
    if small.size == 0:
        raise ValueError(f"write_labels: an empty map needs .npy or .npz, got {_shape(small.shape)} for {suffix}")
    _write_label_picture(path, small, png=suffix == ".png")


def to_uint8(image: NDArray[Any]) -> NDArray[np.uint8]:
    """A picture with 8 bits per channel: uint8 as it is; uint16 stretched, its minimum to 0 and its maximum to 255.

    Stretched because 10- and 12-bit cameras and scanners fill only a small part of 16 bits.

    Args:
        image: uint8 or uint16, [H, W] or [H, W, 3].

    Returns:
        uint8 of the same shape; ``image`` itself where it is uint8.

    Raises:
        ValueError: another dtype or shape.
    """
    _check_picture("to_uint8", image)
    if image.dtype == np.uint8 or image.size == 0:
        return image.astype(np.uint8, copy=False)
    low, high = int(image.min()), int(image.max())
    table = np.arange(high + 1, dtype=np.int64) - low
    table = (table * 255 + (high - low) // 2) // max(high - low, 1)
    stretched: NDArray[np.uint8] = table.clip(0, 255).astype(np.uint8)[image]
    return stretched


def mark_contours(
    image: NDArray[Any], labels: NDArray[Any], color: tuple[int, int, int] = (255, 220, 0), thickness: int = 1
) -> NDArray[np.uint8]:
    """The picture with a line wherever two labels meet.

    Args:
        image: uint8 or uint16, [H, W] or [H, W, 3]; uint16 is shown through :func:`to_uint8`.
        labels: [H, W] of integers.
        color: RGB, 0..255 each.
        thickness: width of the line in pixels, at least 1.

    Returns:
        uint8 [H, W, 3], a new array.

    Raises:
        ValueError: a shape, dtype, colour or thickness outside these rules.
    """
    picture = _rgb("mark_contours", image, labels)
    if len(color) != 3 or not all(0 <= c <= 255 for c in color):
        raise ValueError(f"mark_contours: color must be three values in 0..255, got {tuple(color)}")
    if thickness < 1:
        raise ValueError(f"mark_contours: thickness must be at least 1, got {thickness}")
    line = np.zeros(labels.shape, bool)
    line[:, :-1] |= labels[:, 1:] != labels[:, :-1]
    line[:-1] |= labels[1:] != labels[:-1]
    for axis in (0, 1) if thickness > 1 else ():
        thin, line = np.moveaxis(line, axis, 0), np.zeros_like(line)
        thick = np.moveaxis(line, axis, 0)
        for shift in range(-((thickness - 1) // 2), thickness // 2 + 1):
            size = max(0, len(thin) - abs(shift))
            to, of = max(0, shift), max(0, -shift)
            thick[to : to + size] |= thin[of : of + size]
    picture[line] = color
    return picture


def mean_color(image: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.uint8]:
    """The picture with every label's pixels in their mean colour, rounded.

    Args:
        image: uint8 or uint16, [H, W] or [H, W, 3]; uint16 is shown through :func:`to_uint8`.
        labels: [H, W] of integers. Pixels with a negative label belong to no superpixel and stay as they are.

    Returns:
        uint8 [H, W, 3], a new array.

    Raises:
        ValueError: a shape or dtype outside these rules.
    """
    picture = _rgb("mean_color", image, labels)
    at = labels.ravel().astype(np.int64)
    if at.size and int(at.max()) > 4 * at.size:  # a table as long as the largest label would be mostly holes
        at = np.where(at < 0, -1, np.unique(at, return_inverse=True)[1])
    mask = at >= 0
    inside = slice(None) if mask.all() else mask  # all of it: a view, where the mask would copy
    at = at[inside]
    colors = picture.reshape(-1, 3)
    total = np.stack([np.bincount(at, channel) for channel in colors[inside].T], axis=1).astype(np.int64)
    count = np.maximum(np.bincount(at), 1)[:, None]
    colors[inside] = ((2 * total + count) // (2 * count)).astype(np.uint8)[at]
    return picture


def show_mask(
    image: NDArray[Any], mask: NDArray[np.bool_], color: tuple[int, int, int] = (255, 220, 0)
) -> NDArray[np.uint8]:
    """The picture with an object as it is, a line around it, and the rest at a third of its brightness.

    Args:
        image: uint8 or uint16, [H, W] or [H, W, 3]; uint16 is shown through :func:`to_uint8`.
        mask: bool [H, W], True in the object.
        color: RGB of the line, 0..255 each.

    Returns:
        uint8 [H, W, 3], a new array.

    Raises:
        ValueError: a shape, dtype or colour outside these rules.
    """
    picture = _rgb("show_mask", image, mask)
    outside = ~np.asarray(mask, bool)
    picture[outside] //= 3
    return mark_contours(picture, np.asarray(mask), color, thickness=2)


@contextlib.contextmanager
def atomic_write(path: StrPath, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a file that appears under its name only when the block has ended well.

    It is written under another name in the same folder and then renamed. After any exception, KeyboardInterrupt too,
    that other file is removed and what ``path`` held before is untouched. A link is followed, not replaced.

    Args:
        path: the file to write; its folder must exist.
        mode: "wb" or "w" (text, UTF-8).

    Raises:
        ValueError: another mode.
        OSError: the folder is missing or not writable, or ``path`` is a folder or a device.
    """
    if mode not in {"wb", "w"}:
        raise ValueError(f"atomic_write: mode must be 'wb' or 'w', got {mode!r}")
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():  # a rename would replace even /dev/null
        raise OSError(f"cannot write {os.fspath(path)}: it is not a regular file")
    temporary = target.with_name(f".pyseg-{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, mode.replace("w", "x"), encoding=None if "b" in mode else "utf-8") as file:
            yield file
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _as_int32(array: NDArray[Any]) -> NDArray[np.int32]:
    if array.ndim != 2:
        raise Refused(f"labels must be [H, W], got {_shape(array.shape)}")
    if array.dtype.kind not in "biu":
        raise Refused(f"labels must be integers, got {array.dtype}")
    if array.size and (int(array.min()) < -(2**31) or int(array.max()) >= 2**31):
        raise Refused(f"labels must fit int32, got {array.min()}..{array.max()}")
    return array.astype(np.int32, copy=False)


def _write_label_picture(path: StrPath, labels: NDArray[np.int32], *, png: bool) -> None:
    from PIL import Image, PngImagePlugin

    with atomic_write(path) as file:
        if not png:
            Image.fromarray(labels).save(file, "TIFF", compression="tiff_adobe_deflate")
        elif labels.min() >= 0 and labels.max() < 2**16:
            Image.fromarray(labels.astype(np.uint16)).save(file, "PNG")
        else:
            mark = PngImagePlugin.PngInfo()
            mark.add_text(_PACKED_KEY, _PACKED)
            packed = np.ascontiguousarray(labels, "<i4").view(np.uint8).reshape(*labels.shape, 4)
            Image.fromarray(packed).save(file, "PNG", pnginfo=mark)


def _check_picture(name: str, image: NDArray[Any], dtypes: tuple[str, ...] = ("uint8", "uint16")) -> None:
    if image.dtype.name not in dtypes:
        raise ValueError(f"{name}: image must be {' or '.join(dtypes)}, got {image.dtype}")
    if not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
        raise ValueError(f"{name}: image must be [H, W] or [H, W, 3], got {_shape(image.shape)}")


def _rgb(name: str, image: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.uint8]:
    """A fresh uint8 [H, W, 3] to draw in, once the labels are known to fit."""
    _check_picture(name, image)
    if labels.dtype.kind not in "biu" or labels.shape != image.shape[:2]:
        rule = f"labels must be integers of shape {_shape(image.shape[:2])} as in image"
        raise ValueError(f"{name}: {rule}, got {labels.dtype} {_shape(labels.shape)}")
    small = to_uint8(image)
    return np.repeat(small[..., None], 3, axis=2) if small.ndim == 2 else np.array(small, order="C")


def _shape(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"
