"""Superpixels on a real photograph: pictures in the folder given, and the time beside scikit-image's.

python examples/demo.py [FOLDER] [PHOTO]
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import numpy as np

import pyseg
from pyseg.images import mark_contours, mean_color, read_image


def photograph() -> np.ndarray:
    """scikit-image's photograph of a cup of coffee, 400 x 600 (CC0, by Rachel Michetti)."""
    from skimage import data

    return data.coffee()


def milliseconds(call, rounds: int) -> float:
    call()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def main(folder: str = "demo", photo: str | None = None) -> None:
    from PIL import Image
    from skimage.segmentation import slic as skimage_slic

    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    image = photograph() if photo is None else read_image(photo)
    segments = image.shape[0] * image.shape[1] // 600
    labels, stats = pyseg.slic(image, segments, return_stats=True)
    pictures = {
        "photo.png": image,
        "superpixels.png": mark_contours(image, labels),
        "mean_color.png": mean_color(image, labels),
    }
    for name, picture in pictures.items():
        Image.fromarray(picture).save(out / name)
    ours = milliseconds(lambda: pyseg.slic(image, segments), 20)
    theirs = milliseconds(lambda: skimage_slic(image, segments, compactness=10, max_num_iter=10), 3)
    height, width = image.shape[:2]
    print(f"{stats.n} superpixels of a {width} x {height} photograph, {len(stats.edges)} of them pairs that touch")
    print(f"pyseg        {ours:8.2f} ms  ({pyseg.get_num_threads()} threads, {pyseg.info()['isa']})")
    print(f"scikit-image {theirs:8.2f} ms  ({theirs / ours:.0f}x)")
    print("pictures:", ", ".join(str(out / name) for name in pictures))


if __name__ == "__main__":
    main(*sys.argv[1:3])
