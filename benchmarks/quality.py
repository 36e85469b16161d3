"""Quality of superpixels against human segmentations: ours beside the peers'.

python benchmarks/quality.py [--images N] [--segments K ...]

The measures are those of ``tools/superpixel_quality.py`` in a folder that is no part of the project, which also holds
the images: the one that PYSEG_SHARED names, or ``shared`` beside the repository. Without it nothing is measured.

Undersegmentation error (UE) is better low; boundary recall within 1 and 2 pixels (BR), achievable segmentation
accuracy (ASA), explained variation (EV) and compactness (CO) are better high. All but CO improve with the number of
superpixels, and libraries deliver different numbers for the same K: so fast-slic is measured a second time, asked for
as many more as brings it to pyseg's number.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from environment import shared_folder
from implementations import COMPACTNESS, TITLES, Missing, prepare

__all__ = ["MEASURES", "SEGMENTS", "markdown", "measure", "no_worse"]

SEGMENTS = (100, 400, 1000)
MEASURES = {"ue": "UE", "br1": "BR r=1", "br2": "BR r=2", "asa": "ASA", "ev": "EV", "co": "CO"}
YARDSTICK, MATCHED = "fast_slic", "fast_slic_matched"
_NAMES = ("pyseg", "fast_slic", "opencv_seeds", "opencv_slic", "scikit_image")
Row = dict[str, Any]


def measure(segments: tuple[int, ...] = SEGMENTS, images: int = 0) -> tuple[list[Row], str]:
    """A row for each implementation and K, means over images; and what is missing, in words.

    Args:
        images: how many, evenly spaced; 0: all.
    """
    tool, pairs, reason = _material()
    if tool is None:
        return [], reason
    if 0 < images < len(pairs):
        pairs = [pairs[i] for i in np.linspace(0, len(pairs) - 1, images).round().astype(int)]
    rows: list[Row] = []
    notes: dict[str, str] = {}
    for k in segments:
        grid = float(np.mean([_grid(path, k) for path, _ in pairs]))
        found: dict[str, Row] = {}
        for name in _NAMES:
            try:
                found[name] = _row(tool, pairs, name, k, k)
            except Missing as error:
                notes[name] = str(error)
        if YARDSTICK in found:
            asked = round(k * found["pyseg"]["n"] / found[YARDSTICK]["n"])
            found[MATCHED] = _row(tool, pairs, YARDSTICK, k, asked) | {"implementation": MATCHED}
        order = dict.fromkeys(("pyseg", YARDSTICK, MATCHED, *_NAMES))
        rows += [found[name] | {"grid": grid} for name in order if name in found]
    return rows, "; ".join(notes.values())


def no_worse(row: Row, other: Row) -> dict[str, bool]:
    """For every measure, whether ``row`` is no worse than ``other``."""
    return {key: row[key] <= other[key] if key == "ue" else row[key] >= other[key] for key in MEASURES}


def markdown(rows: list[Row]) -> str:
    """One table for all K, and what it says of pyseg beside fast-slic."""
    heads = [*MEASURES.values(), "superpixels", "components"]
    lines = [f"| K | | {' | '.join(heads)} |", f"|---:|---|{'---:|' * len(heads)}"]
    for row in rows:
        values = [f"{row[key]:.4f}" for key in MEASURES] + [f"{row['n']:.1f}", f"{row['cc']:.1f}"]
        lines.append(f"| {row['segments']} | {row['title']} | {' | '.join(values)} |")
    lines.append("")
    for k in dict.fromkeys(row["segments"] for row in rows):
        found = {row["implementation"]: row for row in rows if row["segments"] == k}
        lines += _verdict(k, found)
    return "\n".join(lines)


def _verdict(k: int, found: dict[str, Row]) -> list[str]:
    ours = found["pyseg"]
    lines = [
        f"- K = {k}: pyseg delivers {ours['n']:.1f} superpixels from a grid of {ours['grid']:.1f} seeds "
        f"({_percent(ours['n'], ours['grid'])})."
    ]
    for name in (YARDSTICK, MATCHED):
        if name in found:
            theirs = found[name]
            better = no_worse(ours, theirs)
            good, bad = ([MEASURES[key] for key in MEASURES if better[key] is wanted] for wanted in (True, False))
            lines.append(
                f"  Beside {theirs['title']} with {theirs['n']:.1f} (pyseg's {_percent(ours['n'], theirs['n'])}): "
                f"no worse in {', '.join(good) or 'nothing'}; worse in {', '.join(bad) or 'nothing'}."
            )
    return lines


def _percent(value: float, base: float) -> str:
    return f"{100 * (value / base - 1):+.1f} %"


def _row(tool: Any, pairs: list[tuple[str, str]], name: str, k: int, asked: int) -> Row:
    call = prepare(name, asked, 1)
    result = tool.evaluate(lambda image, segments, compactness: call(image), pairs, k, COMPACTNESS)
    title = "pyseg" if name == "pyseg" else TITLES[name]  # its labels are the same with every instruction set
    if asked != k:
        title += f", asked for {asked}"
    kept = {key: result[key] for key in (*MEASURES, "n", "cc", "small", "images")}
    return {"implementation": name, "title": title, "segments": k, "asked": asked, **kept}


def _grid(path: str, k: int) -> int:
    """Seeds that pyseg lays out for an image."""
    from PIL import Image

    with Image.open(path) as picture:
        width, height = picture.size
    rows = max(1, math.floor(height / (height * width / k) ** 0.5 + 0.5))
    return rows * max(1, math.floor(k / rows + 0.5))


def _material() -> tuple[Any, list[tuple[str, str]], str]:
    """The tool, pairs of an image and its ground truth, or why there are none."""
    folder = shared_folder()
    path = None if folder is None else folder / "tools" / "superpixel_quality.py"
    if path is None or not path.is_file():
        return None, [], "quality not measured: no tools/superpixel_quality.py in $PYSEG_SHARED, nor in ../shared"
    try:
        tool = _load(path)
        data = tool.default_data()
    except ImportError as error:
        return None, [], f"quality not measured: {error}"
    if data is None:
        return None, [], "quality not measured: the tool's images are missing"
    return tool, tool.find_bsds(data), ""


def _load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> int:
    parser = argparse.ArgumentParser(description="Quality of superpixels against human segmentations.")
    parser.add_argument("--images", type=int, default=0, metavar="N", help="N images, evenly spaced; 0: all")
    parser.add_argument("--segments", type=int, nargs="+", default=SEGMENTS, metavar="K")
    options = parser.parse_args()
    rows, note = measure(tuple(options.segments), options.images)
    if rows:
        print(f"{rows[0]['images']} images, compactness {COMPACTNESS:g}, 10 iterations, means\n")
        print(markdown(rows))
    if note:
        print(note)
    return 0


if __name__ == "__main__":
    sys.exit(main())
