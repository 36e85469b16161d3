"""A pairwise term, as dense_crf takes it and as a filter of its own for single steps; and the features of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyseg._check import real
from pyseg.ops.crf_kernels import Bilateral, Features, Gaussian
from pyseg.ops.permutohedral import PermutohedralLattice

__all__ = ["Pairwise", "bilateral_features", "check_sigmas", "gaussian_features", "label_compatibility"]

Floats = NDArray[np.float32]


@dataclass
class Pairwise:
    """``sxy`` is set for kernels of an image's pixels, ``srgb`` and ``image`` too where colours count."""

    make_features: Callable[[], Floats]  # [N, d]
    sxy: tuple[float, ...] | None = None
    srgb: tuple[float, ...] | None = None
    image: NDArray[np.uint8] | None = None
    normalization: str | None = field(default=None, init=False)
    weight: float = field(default=1.0, init=False)
    compat: Floats | None = field(default=None, init=False)

    @cached_property
    def lattice(self) -> PermutohedralLattice:
        return PermutohedralLattice(self.make_features())

    def _common(self) -> dict[str, Any]:
        return {"weight": self.weight, "compat": self.compat, "normalization": self.normalization}

    def as_gaussian(self) -> Gaussian:
        return Gaussian(self.sxy, **self._common())

    def as_bilateral(self) -> Bilateral:
        return Bilateral(self.sxy, self.srgb, **self._common())

    def as_features(self) -> Features:
        return Features(self.make_features(), **self._common())

    def energy(self, q: Floats) -> Floats:
        """[N, K] of beliefs [N, K]."""
        x: Floats = self.lattice.filter(q, normalization=self.normalization)
        if self.compat is None:
            return x * np.float32(-self.weight)
        if self.compat.ndim == 1:
            return x * self.compat
        return x @ self.compat


def label_compatibility(compat: Any, nlabels: int) -> tuple[float, Floats | None]:
    """Weight and compatibility, as pyseg's kernels take them."""
    if isinstance(compat, Number) or np.ndim(compat) == 0:
        weight = real("DenseCRF", "compat", compat)
        if not np.isfinite(weight):
            raise ValueError(f"DenseCRF: compat must be finite, got {weight}")
        return weight, None
    array = np.asarray(compat)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"DenseCRF: compat must be numbers, got {array.dtype}")
    if array.ndim > 2:
        raise ValueError("LabelCompatibility of dimension >2 not meaningful.")
    if array.shape != (nlabels,) * array.ndim:
        raise ValueError(
            f"DenseCRF: compat must be a number, [{nlabels}] or [{nlabels}, {nlabels}], got {list(array.shape)}"
        )
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise ValueError("DenseCRF: compat must be finite, got NaN or infinity")
    return 1.0, array if array.ndim == 1 else (array + array.T) / 2


def check_sigmas(name: str, value: float | Sequence[float], count: int) -> tuple[float, ...]:
    """``count`` positive numbers."""
    if isinstance(value, (str, bytes)):
        raise TypeError(f"DenseCRF2D: {name} must be a number or {count} numbers, got {value!r}")
    numbers = [value] * count if np.ndim(value) == 0 else list(value)  # type: ignore[arg-type]
    if len(numbers) != count:
        raise ValueError(f"DenseCRF2D: {name} must be a number or {count} numbers, got {len(numbers)}")
    result = tuple(real("DenseCRF2D", name, number) for number in numbers)
    for number in result:
        if not 0 < number < np.inf:
            raise ValueError(f"DenseCRF2D: {name} must be > 0 and finite, got {number}")
    return result


def gaussian_features(shape: tuple[int, int], sxy: Sequence[float]) -> Floats:
    """[H * W, 2]: x, y."""
    y, x = np.indices(shape, np.float32)
    return np.stack([x.ravel() / np.float32(sxy[0]), y.ravel() / np.float32(sxy[1])], 1)


def bilateral_features(image: NDArray[np.uint8], sxy: Sequence[float], srgb: Sequence[float]) -> Floats:
    """[H * W, 5]: x, y, red, green, blue."""
    height, width, channels = image.shape
    colors = image.reshape(-1, channels).astype(np.float32) / np.asarray(srgb, np.float32)
    return np.concatenate([gaussian_features((height, width), sxy), colors], 1)
