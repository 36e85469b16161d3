"""Images that tests and benchmarks share, so that what is timed is what is tested.

>>> image("photo", (480, 640)).shape
(480, 640, 3)
>>> image("noise", (8, 32, 32), channels=None, dtype="float32").shape  # a volume
(8, 32, 32)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.spatial
import skimage.data
from numpy.typing import NDArray

DTYPES = ("uint8", "uint16", "float16", "float32", "float64")

Floats = NDArray[np.float64]


@lru_cache(maxsize=4)
def _astronaut(height: int, width: int) -> Floats:
    """A photograph of 512x512, from the face outwards; mirrored where more is asked for."""
    picture = skimage.data.astronaut() / 255
    top, left = (max(0, min(40, 512 - height)), max(0, min(150, 512 - width)))
    picture = picture[top:, left:]
    more = [(0, max(0, size - have)) for size, have in zip((height, width), picture.shape, strict=False)]
    return np.pad(picture, [*more, (0, 0)], mode="symmetric")[:height, :width]


def photo(shape: Sequence[int], channels: int, rng: np.random.Generator) -> Floats:
    """A photograph; in a volume its slices move a pixel each."""
    depth = shape[0] if len(shape) == 3 else 1
    picture = _astronaut(shape[-2] + depth - 1, shape[-1] + depth - 1)
    slices = np.stack([picture[z : z + shape[-2], z : z + shape[-1]] for z in range(depth)])
    return np.resize(slices if len(shape) == 3 else slices[0], (*shape, 3))[..., np.arange(channels) % 3]


def noise(shape: Sequence[int], channels: int, rng: np.random.Generator) -> Floats:
    """Every value on its own: the most fragments that a cluster map can have."""
    return rng.random((*shape, channels))


def flat(shape: Sequence[int], channels: int, rng: np.random.Generator) -> Floats:
    """One colour: nothing but ties."""
    return np.broadcast_to(rng.random(channels), (*shape, channels)).copy()


def gradient(shape: Sequence[int], channels: int, rng: np.random.Generator) -> Floats:
    """From dark to bright along a direction of its own in each channel."""
    at = np.stack(np.meshgrid(*[np.linspace(0, 1, size) for size in shape], indexing="ij"), axis=-1)
    weights = rng.random((len(shape), channels))
    return at @ (weights / weights.sum(axis=0))


def checkerboard(shape: Sequence[int], channels: int, rng: np.random.Generator) -> Floats:
    """Two colours in squares of 1 to 5 pixels: with 1, no two neighbours are alike."""
    side = int(rng.integers(1, 6))
    odd = sum(index // side for index in np.indices(shape)) % 2
    return rng.random((2, channels))[odd]


def stripes(shape: Sequence[int], channels: int, rng: np.random.Generator) -> Floats:
    """Two colours in lines of 1 to 3 pixels along the last axis or across it: components longer than any tile."""
    index = np.indices(shape)[rng.integers(len(shape))] // int(rng.integers(1, 4)) % 2
    return rng.random((2, channels))[index]


def cells(shape: Sequence[int], channels: int, rng: np.random.Generator) -> Floats:
    """Patches of one colour each with some noise, as in a tissue: nearest of random points."""
    count = max(2, int(np.prod(shape)) // 150)
    points, colors = rng.random((count, len(shape))) * shape, rng.random((count, channels))
    pixels = np.stack(np.indices(shape), axis=-1)
    patches = colors[scipy.spatial.cKDTree(points).query(pixels)[1]]
    return np.clip(patches + rng.normal(0, 0.03, patches.shape), 0, 1)


MAKERS: dict[str, Callable[[Sequence[int], int, np.random.Generator], Floats]] = {
    maker.__name__: maker for maker in (photo, noise, flat, gradient, checkerboard, stripes, cells)
}
KINDS = tuple(MAKERS)


def as_dtype(values: Floats, dtype: str) -> NDArray[Any]:
    """Values in [0, 1] as another type: the whole range of an integer type, a float as it is."""
    if np.dtype(dtype).kind == "u":
        return np.rint(values * np.iinfo(dtype).max).astype(dtype)
    return values.astype(dtype)


def image(
    kind: str, shape: Sequence[int], channels: int | None = 3, dtype: str = "uint8", seed: int = 0
) -> NDArray[Any]:
    """A contiguous image [H, W, C] or volume [D, H, W, C] (without C for ``channels=None``) of one of ``KINDS``."""
    values = MAKERS[kind](tuple(shape), channels or 1, np.random.default_rng(seed))
    return np.ascontiguousarray(as_dtype(values if channels is not None else values[..., 0], dtype))


def blobs(shape: Sequence[int], seed: int = 0) -> NDArray[np.bool_]:
    """A mask [H, W] or [D, H, W] of several islands, some of one pixel; never empty."""
    rng = np.random.default_rng(seed)
    coarse = rng.random([-(-size // 6) for size in shape]) < 0.6
    for axis in range(len(shape)):
        coarse = np.repeat(coarse, 6, axis)
    inside = coarse[tuple(slice(size) for size in shape)] ^ (rng.random(shape) < 0.03)
    inside[tuple(size // 2 for size in shape)] = True
    return inside
