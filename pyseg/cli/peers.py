"""The short comparison behind ``pyseg bench``: pyseg's SLIC and those of other libraries, in turn, on one picture."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageReadError
from .errors import Refused

__all__ = ["Comparison", "Row", "compare_slic", "interleave"]

COMPACTNESS, ITERATIONS = 10.0, 10
Call = Callable[[], NDArray[Any]]


@dataclass(frozen=True)
class Row:
    """One implementation. ``ratio`` is its time by pyseg's: above 1, pyseg is faster."""

    name: str
    superpixels: int
    median_ms: float
    best_ms: float
    ratio: float


@dataclass(frozen=True)
class Comparison:
    """The figures, and all that is needed to read them."""

    picture: str
    width: int
    height: int
    segments: int
    threads: int
    rounds: int
    rows: list[Row]
    versions: dict[str, str]
    missing: dict[str, str] = field(default_factory=dict)
    machine: str = ""
    load: float = 0.0

    def footnote(self) -> str:
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        typical = "medians" if self.threads == 1 else "bests"
        lines = [
            f"{self.machine}; threads, where a library has them: {self.threads}; {self.rounds} rounds, "
            f"one call of each in turn; time / pyseg's of the {typical}; load {self.load:.1f}",
            f"compactness {COMPACTNESS:g}, {ITERATIONS} iterations, connectivity enforced; {versions}",
            *(f"not compared: {name} ({reason})" for name, reason in self.missing.items()),
        ]
        return "\n".join(lines)


def compare_slic(image: Path | None, *, segments: int, threads: int | None, rounds: int) -> Comparison:
    """Time pyseg.slic against every peer that can be imported.

    Args:
        image: a picture file; None takes a photograph that scikit-image carries, or else a drawn scene.
        segments: superpixels asked for.
        threads: for pyseg and the peers that have threads; None leaves pyseg's setting.
        rounds: calls of each.

    Raises:
        Refused: the picture cannot be read.
    """
    import pyseg

    if threads is not None:
        pyseg.set_num_threads(threads)
    threads = pyseg.get_num_threads()
    name, picture = _picture(image)
    ours: dict[str, Call] = {"pyseg.slic": lambda: _ours(picture, segments)}
    peers, missing = _peers(picture, segments, threads)
    calls = ours | peers
    counts = {name: int(np.unique(call()).size) for name, call in calls.items()}  # the first call warms up as well
    times = interleave(calls, rounds)
    # Where neighbours use the same cores, a barrier between threads waits for whole time slices: bests, not medians.
    typical = statistics.median if threads == 1 else min
    base = typical(times["pyseg.slic"])
    rows = [
        Row(name, counts[name], 1e3 * statistics.median(taken), 1e3 * min(taken), typical(taken) / base)
        for name, taken in times.items()
    ]
    height, width = picture.shape[:2]
    return Comparison(
        picture=name,
        width=width,
        height=height,
        segments=segments,
        threads=threads,
        rounds=rounds,
        rows=rows,
        versions=_versions(),
        missing=missing,
        machine=_machine(),
        load=os.getloadavg()[0],
    )


def _ours(picture: NDArray[np.uint8], segments: int) -> NDArray[Any]:
    import pyseg

    labels: NDArray[Any] = pyseg.slic(picture, n_segments=segments, compactness=COMPACTNESS, max_iter=ITERATIONS)
    return labels


def interleave(calls: dict[str, Call], rounds: int) -> dict[str, list[float]]:
    """Seconds of ``rounds`` calls of each, one of each in turn, so that a machine that slows down slows all."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(rounds):
        for name in list(calls)[:: 1 if i % 2 == 0 else -1]:  # nobody always runs on the caches of the same neighbour
            start = time.perf_counter()
            calls[name]()
            times[name].append(time.perf_counter() - start)
    return times


def _picture(path: Path | None) -> tuple[str, NDArray[np.uint8]]:
    from ..images import read_image, to_uint8

    if path is not None:
        try:
            image = to_uint8(read_image(path))
        except ImageReadError as error:
            raise Refused(str(error)) from None
        # The peers take colour only.
        return path.name, np.ascontiguousarray(
            np.broadcast_to(image.reshape(*image.shape[:2], -1), (*image.shape[:2], 3))
        )
    try:
        return "the astronaut of scikit-image", importlib.import_module("skimage.data").astronaut()
    except Exception:  # not installed, or its data files are not
        return "a drawn scene", _scene()


def _scene(height: int = 512, width: int = 512) -> NDArray[np.uint8]:
    """Overlapping discs over a gradient, with noise: flat parts, edges and texture. Always the same."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    scene = np.stack([x * 255 / width, y * 255 / height, np.full(x.shape, 128.0)], axis=-1)
    for _ in range(60):
        center, radius = random.uniform(0, (height, width)), random.uniform(10, 80)
        scene[(y - center[0]) ** 2 + (x - center[1]) ** 2 < radius**2] = random.uniform(0, 255, 3)
    return (scene + random.normal(0, 8, scene.shape)).clip(0, 255).astype(np.uint8)


def _peers(picture: NDArray[np.uint8], segments: int, threads: int) -> tuple[dict[str, Call], dict[str, str]]:
    makers: dict[str, Callable[[NDArray[np.uint8], int, int], Call]] = {
        "skimage.segmentation.slic": _skimage,
        "fast_slic SlicAvx2": _fast_slic,
        "cv2.ximgproc SLIC": _cv2_slic,
        "cv2.ximgproc SEEDS": _cv2_seeds,
    }
    peers: dict[str, Call] = {}
    missing: dict[str, str] = {}
    for name, maker in makers.items():
        try:
            peers[name] = maker(picture, segments, threads)
        except Exception as error:  # absent, or built for another NumPy or CPU: the comparison goes on without it
            missing[name] = str(error).splitlines()[0] if str(error) else type(error).__name__
    return peers, missing


def _skimage(picture: NDArray[np.uint8], segments: int, threads: int) -> Call:
    slic = importlib.import_module("skimage.segmentation").slic
    return lambda: slic(
        picture, n_segments=segments, compactness=COMPACTNESS, max_num_iter=ITERATIONS, start_label=0, channel_axis=-1
    )


def _fast_slic(picture: NDArray[np.uint8], segments: int, threads: int) -> Call:
    kind = importlib.import_module("fast_slic.avx2").SlicAvx2
    # A new object per call: the clusters that it ended with would be the start of the next call.
    return lambda: kind(num_components=segments, compactness=COMPACTNESS, num_threads=threads).iterate(
        picture, ITERATIONS
    )


def _cv2(threads: int) -> Any:
    cv2 = importlib.import_module("cv2")
    if not hasattr(cv2, "ximgproc"):
        raise ImportError("this OpenCV is built without its contrib modules")
    cv2.setNumThreads(threads)
    return cv2


def _cv2_slic(picture: NDArray[np.uint8], segments: int, threads: int) -> Call:
    cv2 = _cv2(threads)
    size = max(1, round((picture.shape[0] * picture.shape[1] / segments) ** 0.5))

    def call() -> NDArray[Any]:
        lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB)  # the others convert inside the call
        slic = cv2.ximgproc.createSuperpixelSLIC(lab, cv2.ximgproc.SLIC, size, COMPACTNESS)
        slic.iterate(ITERATIONS)
        slic.enforceLabelConnectivity()
        labels: NDArray[Any] = slic.getLabels()
        return labels

    return call


def _cv2_seeds(picture: NDArray[np.uint8], segments: int, threads: int) -> Call:
    cv2 = _cv2(threads)
    height, width, channels = picture.shape

    def call() -> NDArray[Any]:
        lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB)
        seeds = cv2.ximgproc.createSuperpixelSEEDS(width, height, channels, segments, 4)
        seeds.iterate(lab, ITERATIONS)
        labels: NDArray[Any] = seeds.getLabels()
        return labels

    return call


def _versions() -> dict[str, str]:
    import pyseg

    versions = {"pyseg": pyseg.__version__, "python": platform.python_version(), "numpy": np.__version__}
    for name in ("scikit-image", "fast-slic", "opencv-contrib-python-headless", "opencv-contrib-python"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _machine() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            model = next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    return f"{model}, {os.cpu_count()} cores"
