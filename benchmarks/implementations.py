"""pyseg's SLIC and its peers', each as one function from an RGB photograph to labels, everything included."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import pyseg

__all__ = [
    "COMPACTNESS",
    "ISA",
    "ITERATIONS",
    "OURS",
    "PEERS",
    "PIXELS_PER_SEGMENT",
    "TITLES",
    "Call",
    "Missing",
    "prepare",
    "superpixels",
    "use_isa",
]

COMPACTNESS, ITERATIONS, PIXELS_PER_SEGMENT = 10.0, 10, 300
Call = Callable[[NDArray[Any]], NDArray[Any]]

_native = importlib.import_module("pyseg._native")
ISA: str = _native.isa()  # the processor's widest, or PYSEG_ISA


def use_isa(isa: str) -> None:
    """Chooses the instruction set of all of pyseg from here on."""
    _native.set_isa(isa)


class Missing(Exception):
    """Why an implementation cannot be run here."""


def _isa_title(isa: str) -> str:
    return {"baseline": "no SIMD beyond the baseline", "avx2": "AVX2"}.get(isa, "AVX-512")


TITLES = {
    "pyseg": f"pyseg, {_isa_title(ISA)}",
    "pyseg_avx2": "pyseg, AVX2",
    "fast_slic": "fast-slic (AVX2)",
    "opencv_seeds": "OpenCV SEEDS",
    "opencv_slic": "OpenCV SLIC",
    "scikit_image": "scikit-image",
}
OURS = ("pyseg", "pyseg_avx2")
PEERS = tuple(name for name in TITLES if name not in OURS)


def prepare(name: str, segments: int, threads: int) -> Call:
    """The function of that name. Sets the threads of its library: prepare all of a group, then time the group.

    Raises:
        Missing: it is not installed, or does not run on this processor.
    """
    try:
        return _MAKERS[name](segments, threads)
    except Missing:
        raise
    except Exception as error:  # absent, or built for another NumPy or processor
        raise Missing(f"{TITLES[name]}: {error}".splitlines()[0]) from error


def _pyseg(isa: str, segments: int, threads: int) -> Call:
    pyseg.set_num_threads(threads)

    def call(image: NDArray[Any]) -> NDArray[Any]:
        use_isa(isa)
        labels: NDArray[Any] = pyseg.slic(image, segments, COMPACTNESS, ITERATIONS)
        return labels

    return call


def _pyseg_avx2(segments: int, threads: int) -> Call:
    if not ISA.startswith("avx512"):
        raise Missing(f"pyseg, AVX2: the row of {TITLES['pyseg']} is as wide as this processor or PYSEG_ISA allows")
    return _pyseg("avx2", segments, threads)


def _fast_slic(segments: int, threads: int) -> Call:
    kind = importlib.import_module("fast_slic.avx2").SlicAvx2
    # A new object per call: the clusters that one call ends with would be the start of the next.
    return lambda image: kind(num_components=segments, compactness=COMPACTNESS, num_threads=threads).iterate(
        image, ITERATIONS
    )


def _opencv(threads: int) -> Any:
    cv2 = importlib.import_module("cv2")
    if not hasattr(cv2, "ximgproc"):
        raise Missing("OpenCV: built without its contrib modules")
    cv2.setNumThreads(threads)
    return cv2


def _opencv_slic(segments: int, threads: int) -> Call:
    cv2 = _opencv(threads)

    def call(image: NDArray[Any]) -> NDArray[Any]:
        lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)  # the others convert inside the call
        size = max(1, round((image.shape[0] * image.shape[1] / segments) ** 0.5))
        slic = cv2.ximgproc.createSuperpixelSLIC(lab, cv2.ximgproc.SLIC, size, COMPACTNESS)
        slic.iterate(ITERATIONS)
        slic.enforceLabelConnectivity()
        labels: NDArray[Any] = slic.getLabels()
        return labels

    return call


def _opencv_seeds(segments: int, threads: int) -> Call:
    cv2 = _opencv(threads)

    def call(image: NDArray[Any]) -> NDArray[Any]:
        lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
        height, width, channels = image.shape
        seeds = cv2.ximgproc.createSuperpixelSEEDS(width, height, channels, segments, 4)
        seeds.iterate(lab, ITERATIONS)
        labels: NDArray[Any] = seeds.getLabels()
        return labels

    return call


def _scikit_image(segments: int, threads: int) -> Call:
    slic = importlib.import_module("skimage.segmentation").slic  # has no threads
    return lambda image: slic(image, n_segments=segments, compactness=COMPACTNESS, max_num_iter=ITERATIONS)


_MAKERS: dict[str, Callable[[int, int], Call]] = {
    "pyseg": lambda segments, threads: _pyseg(ISA, segments, threads),
    "pyseg_avx2": _pyseg_avx2,
    "fast_slic": _fast_slic,
    "opencv_seeds": _opencv_seeds,
    "opencv_slic": _opencv_slic,
    "scikit_image": _scikit_image,
}


def superpixels(labels: NDArray[Any]) -> int:
    return int(np.unique(labels).size)
