"""Golden cases of the dense CRF: what pydensecrf 1.0 computed. See ``data/crf/README.md``.

A mean-field case is an .npz of ``meta`` (JSON), perhaps ``image``, and after each n of meta's "iterations"
``labels_n`` (uint8, most likely labels) and ``q_n`` (float32, every q_step-th of Q [K, N] in C order). Its other inputs
are functions of names: 24-bit random numbers from PCG64 seeded by the name's CRC-32, and float64 sums and products of
them, so that they are the same on any machine.

A lattice case holds ``features`` [d, N], ``values`` and ``cotangent`` [C, N]; of the filter, ``output``,
``transposed``, ``ones`` (row sums) and ``feature_gradient``.

More cases lie in a folder that is no part of the project, which PYSEG_SHARED names, or ``shared`` beside the
repository; where it is, they are tested too.
"""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HERE = Path(__file__).parent / "data" / "crf"
_SHARED = Path(os.environ.get("PYSEG_SHARED") or Path(__file__).parents[2] / "shared") / "data" / "crf"


def _paths(folder: str) -> dict[str, Path]:
    return {path.stem: path for root in (_SHARED, _HERE) for path in sorted((root / folder).glob("*.npz"))}


MEAN_FIELD = sorted(_paths(""))
LATTICE = sorted(_paths("lattice"))
EXACT = sorted(_paths("exact"))  # in the shared folder only: pyseg.reference.BruteForce makes such numbers


@dataclass(frozen=True)
class Case:
    """A mean-field case."""

    name: str
    meta: dict[str, Any]
    image: NDArray[Any] | None  # uint8 [H, W, 3], float32 [*shape, C], or None
    unary: NDArray[np.float32]  # [K, *shape] energies
    arrays: dict[str, NDArray[Any]]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.meta["shape"])

    @property
    def kernels(self) -> list[dict[str, Any]]:
        """Of each: "type", "sxy" or "sdims", "srgb" or "schan", "compat", "normalization"."""
        return list(self.meta["kernels"])

    def features(self, kernel: dict[str, Any]) -> NDArray[np.float32]:
        """[N, d] of a kernel: x, y first as of pydensecrf's images; for types of its utils, axes in their order."""
        grids = list(np.indices(self.shape, np.float32))
        in_axes_order = kernel["type"].endswith("_nd")
        columns = grids if in_axes_order else grids[::-1]
        if "schan" in kernel or "srgb" in kernel:
            assert self.image is not None
            columns = columns + list(np.moveaxis(self.image.reshape(*self.shape, -1).astype(np.float32), -1, 0))
        sigmas = [*kernel["sdims" if in_axes_order else "sxy"], *kernel.get("schan", kernel.get("srgb", []))]
        scaled = [c.ravel() / np.float32(s) for c, s in zip(columns, sigmas, strict=True)]
        return np.stack(scaled, 1)

    def expected(self, n_iter: int) -> dict[str, Any]:
        """ "kl", "q_mean" by class, "near_ties": pixels whose two best labels are within 0.001."""
        return dict(self.meta["expected"][str(n_iter)])

    def differences(self, n_iter: int, q: NDArray[Any]) -> dict[str, float]:
        """Of Q [K, N] or [K, *shape] from what pydensecrf found."""
        flat = np.asarray(q, np.float64).reshape(len(self.unary), -1)
        error = np.abs(flat.ravel()[:: self.meta["q_step"]] - self.arrays[f"q_{n_iter}"])
        labels = self.arrays[f"labels_{n_iter}"].ravel()
        return {
            "mean": error.mean(),
            "above 1e-4": (error > 1e-4).mean(),
            "class means": np.abs(flat.mean(1) - self.expected(n_iter)["q_mean"]).max(),
            "labels": (flat.argmax(0) != labels).mean(),
        }


@cache
def mean_field(name: str) -> Case:
    """The case of that name. Arrays are read-only.

    Raises:
        ValueError: the inputs made here are not those that the case was made with.
    """
    with np.load(_paths("")[name], allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    meta = json.loads(str(arrays.pop("meta")))
    shape = tuple(meta["shape"])
    image = arrays.pop("image", None)
    if "photo" in meta:
        image = _photo(**meta["photo"])
    elif "volume" in meta:
        image = _volume(meta["volume"]["name"], shape, meta["volume"]["channels"])
    unary = _unary(meta["unary"], meta["labels"], shape, image)
    for what, array in (("image", image), ("unary", unary)):
        crc = 0 if array is None else zlib.crc32(np.ascontiguousarray(array).tobytes())
        if crc != meta[f"{what}_crc32"]:
            raise ValueError(f"{name}: the {what} made here is another one (another version of the photograph?)")
        if array is not None:
            array.setflags(write=False)
    return Case(name, meta, image, unary, arrays)


def lattice(name: str) -> dict[str, NDArray[Any]]:
    """A lattice case's arrays, points first: [N, d], [N, C], [N]."""
    return _points_first(_paths("lattice")[name])


def exact(name: str) -> dict[str, NDArray[Any]]:
    """Filters by brute force, points first: features, values, out_raw, out_before, out_after, out_symmetric."""
    return _points_first(_paths("exact")[name])


def _points_first(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as file:
        return {key: np.ascontiguousarray(file[key].T) for key in file.files if key != "meta"}


def _random(name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """In [0, 1): the upper 24 bits of each of PCG64's."""
    raw = np.random.PCG64(zlib.crc32(name.encode())).random_raw(int(np.prod(shape)))
    return (np.asarray(raw, np.uint64) >> np.uint64(40)).astype(np.float64).reshape(shape) / 2**24


def _blobs(name: str, channels: int, shape: tuple[int, ...], step: int) -> NDArray[np.float64]:
    """[channels, *shape]: random numbers every ``step`` pixels, linear in between."""
    values = _random(name, (channels, *((size - 1) // step + 2 for size in shape)))
    for axis, size in enumerate(shape, 1):
        cell, inside = np.divmod(np.arange(size), step)
        part = (inside / step).reshape([-1] + [1] * (values.ndim - axis - 1))
        values = np.take(values, cell, axis) * (1.0 - part) + np.take(values, cell + 1, axis) * part
    return values


def _unary(name: str, labels: int, shape: tuple[int, ...], image: NDArray[Any] | None) -> NDArray[np.float32]:
    """Smooth blobs, noise, and each label's distance from a colour of its own."""
    energy = 3.0 * _blobs(f"{name}/blobs", labels, shape, 8) + 1.5 * _random(f"{name}/noise", (labels, *shape))
    if image is not None:
        colors = image.reshape(*shape, -1).astype(np.float64) / 255.0
        centres = _random(f"{name}/centres", (labels, colors.shape[-1]))
        for k in range(labels):
            distance = np.zeros(shape)
            for channel, centre in zip(np.moveaxis(colors, -1, 0), centres[k], strict=True):
                distance = distance + (channel - centre) * (channel - centre)
            energy[k] = energy[k] + 4.0 * distance
    return energy.astype(np.float32)


def _volume(name: str, shape: tuple[int, ...], channels: int) -> NDArray[np.float32]:
    """[*shape, channels]: whole numbers in [0, 255)."""
    values = 200.0 * _blobs(f"{name}/blobs", channels, shape, 6) + 55.0 * _random(f"{name}/noise", (channels, *shape))
    return np.ascontiguousarray(np.moveaxis(np.floor(values), 0, -1).astype(np.float32))


def _photo(name: str, box: list[int]) -> NDArray[np.uint8]:
    import skimage.data

    top, left, bottom, right = box
    picture: NDArray[np.uint8] = getattr(skimage.data, Path(name).stem)()
    return np.ascontiguousarray(picture[top:bottom, left:right, :3])
