"""Superpixels of a real photograph and an object cut out of another: pictures in the folder given, and the times.

python examples/demo.py [FOLDER] [PHOTO]
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import numpy as np

import pyseg
from pyseg.images import mark_contours, mean_color, read_image, show_mask


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


def cut_out(out: Path) -> list[Path]:
    """The astronaut (NASA, public domain) by a box, then with one stroke more; the pictures."""
    from PIL import Image
    from skimage import data

    image = data.astronaut()
    box, background = (20, 5, 360, 512), [(95, 120), (140, 40), (160, 10)]
    cutter = pyseg.Cutter(image)
    steps = {"cut_box.png": cutter.cut(box=box), "cut_stroke.png": cutter.add_scribble(background, False)}
    for name, mask in steps.items():
        Image.fromarray(show_mask(image, mask)).save(out / name)
    first = milliseconds(lambda: pyseg.cut(image, box=box), 5)

    def again() -> None:
        cutter.undo()
        cutter.add_scribble(background, False)

    height, width = image.shape[:2]
    print(f"an object of {steps['cut_box.png'].sum()} pixels cut out of a {width} x {height} photograph by a box")
    print(f"pyseg.cut    {first:8.2f} ms, {milliseconds(again, 5):.2f} ms again after one stroke more")
    return [out / name for name in steps]


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
    print("pictures:", ", ".join(map(str, [*(out / name for name in pictures), *cut_out(out)])))


if __name__ == "__main__":
    main(*sys.argv[1:3])
