"""What dense_crf is measured on: photographs with seeded energies, and the two implementations."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from photographs import photographs

import pyseg

__all__ = ["CASES", "Case", "inputs", "run_pydensecrf", "run_pyseg"]


@dataclass(frozen=True)
class Case:
    """A size and its kernels: spatial ones of 3 pixels, weight 3, and bilateral ones."""

    title: str
    width: int
    height: int
    classes: int
    sxy: float
    srgb: float
    weight: float
    slow: bool = False


CASES = {
    "voc_deeplab": Case("500 x 375 x 21, sxy 67, srgb 3", 500, 375, 21, 67, 3, 4),
    "voc": Case("500 x 375 x 21, sxy 80, srgb 13", 500, 375, 21, 80, 13, 10),
    "two_classes": Case("451 x 300 x 2, sxy 80, srgb 13", 451, 300, 2, 80, 13, 10),
    "cityscapes": Case("2048 x 1024 x 19, sxy 80, srgb 13", 2048, 1024, 19, 80, 13, 10, slow=True),
}
Pair = tuple[NDArray[np.uint8], NDArray[np.float32]]


def energies(image: NDArray[np.uint8], classes: int, seed: int = 0) -> NDArray[np.float32]:
    """[K, H, W]: smooth blobs, the distance to a colour of each class, and noise: as undecided everywhere as a
    network's scores are at borders."""
    rng = np.random.default_rng(seed)
    height, width = image.shape[:2]
    step = 24
    coarse = rng.random((classes, height // step + 3, width // step + 3), np.float32)
    y, x = np.arange(height) / step, np.arange(width) / step
    low_y, low_x = y.astype(int), x.astype(int)
    part_y, part_x = (y - low_y).astype(np.float32)[:, None], (x - low_x).astype(np.float32)
    rows = coarse[:, low_y] * (1 - part_y) + coarse[:, low_y + 1] * part_y
    blobs = rows[:, :, low_x] * (1 - part_x) + rows[:, :, low_x + 1] * part_x
    colors = rng.random((classes, 3), np.float32)
    pixels = image.astype(np.float32) / 255
    distance = np.stack([((pixels - color) ** 2).sum(-1) for color in colors])
    energy = 3 * blobs + 4 * distance + 1.5 * rng.random((classes, height, width), np.float32)
    return np.ascontiguousarray(energy, np.float32)


@cache
def inputs(case: Case) -> list[Pair]:
    """Three images; one where it is large."""
    pictures = photographs(case.width, case.height)[: 1 if case.slow else 3]
    return [(picture.copy(), energies(picture, case.classes, seed)) for seed, picture in enumerate(pictures)]


def run_pyseg(case: Case, pair: Pair, storage: str = "float32") -> NDArray[np.float32]:
    """Q [K, N]."""
    image, unary = pair
    q: NDArray[np.float32] = pyseg.dense_crf(
        unary,
        np.moveaxis(image, -1, 0),
        gaussian=pyseg.Gaussian(sxy=3, weight=3),
        bilateral=pyseg.Bilateral(sxy=case.sxy, srgb=case.srgb, weight=case.weight),
        unary_from="energy",
        channel_axis=0,
        storage=storage,
    )
    return q.reshape(case.classes, -1)


def run_pydensecrf(case: Case, pair: Pair) -> NDArray[np.float32]:
    """Q [K, N], by the package pydensecrf2 (pydensecrf's source)."""
    densecrf = importlib.import_module("pydensecrf.densecrf")
    image, unary = pair
    crf = densecrf.DenseCRF2D(case.width, case.height, case.classes)
    crf.setUnaryEnergy(unary.reshape(case.classes, -1))
    crf.addPairwiseGaussian(sxy=3, compat=3)
    crf.addPairwiseBilateral(sxy=case.sxy, srgb=case.srgb, rgbim=image, compat=case.weight)
    return np.array(crf.inference(10))
