"""What is timed: real photographs that scikit-image carries, at the sizes that people have."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["NAMES", "SOURCE", "VOLUME", "VOLUME_NAME", "ellipse", "five_channels", "photographs", "volume"]

NAMES = ("coffee", "astronaut", "rocket")
SOURCE = "skimage.data coffee, astronaut and rocket in rotation, cropped to shape, resampled with Lanczos"
VOLUME = (64, 256, 256)
VOLUME_NAME = "x".join(map(str, VOLUME))


@functools.lru_cache(maxsize=4)
def photographs(width: int, height: int) -> tuple[NDArray[np.uint8], ...]:
    """uint8 RGB [height, width, 3] of each of ``NAMES``: the middle part of that shape, enlarged or reduced."""
    from PIL import Image
    from skimage import data

    result = []
    for name in NAMES:
        picture = Image.fromarray(getattr(data, name)())
        scale = min(picture.width / width, picture.height / height)
        across, down = width * scale, height * scale
        left, top = (picture.width - across) / 2, (picture.height - down) / 2
        box = (left, top, left + across, top + down)
        result.append(np.ascontiguousarray(picture.resize((width, height), Image.Resampling.LANCZOS, box=box)))
    return tuple(result)


def five_channels(photograph: NDArray[np.uint8]) -> NDArray[np.float32]:
    """RGB and the two differences of the brightness, all from 0 to 1."""
    rgb = photograph.astype(np.float32) / 255
    down, across = np.gradient(rgb.mean(-1))
    return np.dstack([rgb, 0.5 + down / 2, 0.5 + across / 2]).astype(np.float32)


def ellipse(height: int, width: int) -> NDArray[np.bool_]:
    """A mask that leaves out the corners."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return np.asarray(y**2 + x**2 < 1)


def volume() -> NDArray[Any]:
    """float32 [64, 256, 256]: a window that moves over a photograph, so that neighbouring slices are alike."""
    from skimage import data

    grey = data.astronaut().mean(-1).astype(np.float32) / 255
    depth, height, width = VOLUME
    return np.stack([grey[2 * z : 2 * z + height, 3 * z : 3 * z + width] for z in range(depth)])
