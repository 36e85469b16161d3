"""Opens and decodes picture files: formats by content, a cap on pixels before decoding, one exception."""

from __future__ import annotations

import contextlib
import importlib
import os
import stat
import threading
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import ImageReadError

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

StrPath = str | os.PathLike[str]

_SIGNATURES = (
    (b"\xff\xd8\xff", "Jpeg"),
    (b"\x89PNG\r\n\x1a\n", "Png"),
    *((magic, "Tiff") for magic in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    (b"BM", "Bmp"),
    *((b"P%d" % kind, "Ppm") for kind in range(1, 7)),
    *((magic, "Gif") for magic in (b"GIF87a", b"GIF89a")),
)
_pillow_limit = threading.Lock()


class Refused(Exception):
    """The reason of an ImageReadError whose path is known further up."""


@contextlib.contextmanager
def reading(path: StrPath, max_pixels: int) -> Iterator[IO[bytes]]:
    """Opens the file and turns whatever a decoder may raise into ImageReadError."""
    if max_pixels < 1:
        raise ValueError(f"max_pixels must be at least 1, got {max_pixels}")
    os.fspath(path)  # a TypeError about the argument is the caller's, not the file's
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would wait for ever
            raise Refused("is a folder" if os.path.isdir(path) else "not a regular file")
        with open(path, "rb") as file:
            yield file
    except ModuleNotFoundError:  # Pillow is not installed, which is not the file's fault
        raise
    except FileNotFoundError:
        raise ImageReadError(path, "no such file") from None
    except MemoryError:
        raise ImageReadError(path, "not enough memory") from None
    except Exception as error:  # npz, npy, conversions
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ImageReadError(path, " ".join(str(reason).split())) from error


def decode(file: IO[bytes], max_pixels: int) -> ImageFile:
    name = _format(file)
    try:
        # The plugin itself: PIL.Image.open would apply a process-wide limit of its own, by warnings.
        image: ImageFile = getattr(importlib.import_module(f"PIL.{name}ImagePlugin"), f"{name}ImageFile")(file)
        width, height = image.size
        if width * height > max_pixels:
            raise Refused(f"{width} x {height} pixels are more than the limit of {max_pixels} (max_pixels)")
        _load(image, max_pixels)
    except (Refused, MemoryError, ModuleNotFoundError):
        raise
    except Exception as error:  # Pillow's decoders raise nearly everything on corrupt data
        raise Refused(f"truncated, corrupt or unsupported {name.upper()} ({error or type(error).__name__})") from error
    return image


def _format(file: IO[bytes]) -> str:
    """The middle of the names of Pillow's plugin, by the first bytes."""
    head = file.read(16)
    file.seek(0)
    if not head:
        raise Refused("the file is empty")
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    for magic, name in _SIGNATURES:
        if head.startswith(magic):
            return name
    raise Refused("not a JPEG, PNG, TIFF, BMP, WEBP, PPM/PGM/PBM or GIF file")


def _load(image: ImageFile, max_pixels: int) -> None:
    from PIL import Image

    width, height = image.size
    if Image.MAX_IMAGE_PIXELS is None or width * height <= Image.MAX_IMAGE_PIXELS:
        image.load()
        return
    # Some plugins ask the process-wide limit again while they decode; our own was kept, so lift it for this picture.
    with _pillow_limit:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
        try:
            image.load()
        finally:
            Image.MAX_IMAGE_PIXELS = before


def pixels(image: ImageFile) -> NDArray[Any]:
    from PIL import Image

    mode = image.mode
    if mode.startswith("I;16") or (mode == "I" and image.format == "PPM"):  # a PGM of more than 8 bits opens as "I"
        return np.array(image).astype(np.uint16)
    if mode not in {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"}:
        kind = {"F": "floats", "I": "32-bit or signed integers", "LAB": "CIE Lab"}.get(mode, f"of mode {mode}")
        raise Refused(f"the pixels are {kind}, not 8-bit, 16-bit grey or RGB")
    grey = mode in {"1", "L", "LA", "La"}
    if not image.has_transparency_data:
        return np.array(image.convert("L" if grey else "RGB"))
    top = image.convert("RGBA")
    flat = Image.alpha_composite(Image.new("RGBA", top.size, "white"), top).convert("RGB")
    return np.array(flat.getchannel(0) if grey else flat)


def orientation_of(image: ImageFile) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # the pixels were read; broken metadata is no reason to refuse them
        return 1


def upright(picture: NDArray[Any], orientation: int) -> NDArray[Any]:
    """EXIF 1..8: from 5 on rows and columns are swapped."""
    if orientation in {5, 6, 7, 8}:
        picture = picture.swapaxes(0, 1)
    if orientation in {3, 4, 7, 8}:
        picture = picture[::-1]
    return picture[:, ::-1] if orientation in {2, 3, 6, 7} else picture
