"""Objects cut out of photographs: pyseg beside OpenCV's grabCut, intersection over union and milliseconds in one table.

python benchmarks/cut.py [--images N] [--rounds N] [--redraw] [--out FOLDER]

Both get the same box, strokes, contour and clicks (``cut_cases.py``), in one thread, in turn in one process. What
is timed is CPU time of the process for a photograph not seen before, superpixels and lattices included. Then the
re-cut of a 1-megapixel photograph after one more stroke, in one and two threads.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import cut_cases
import numpy as np
from environment import ROOT, describe, footnote
from numpy.typing import NDArray
from timing import load_note

import pyseg

CLICKS = (1, 3, 5)
THIRD = 3  # contours and clicks on every third object: grabCut takes its time
SOURCES = {
    "coco": "COCO objects (things)",
    "coco_stuff": "COCO regions (stuff)",
    "bsds": "BSDS500 regions",
}
KINDS = {"box": "box", "strokes": "strokes", "both": "box and strokes", "contour": "rough contour"} | {
    f"clicks {n}": f"{n} click{'s' * (n > 1)}" for n in CLICKS
}
Mask = NDArray[np.bool_]
Row = dict[str, Any]


def grabcut(image: NDArray[np.uint8], given: dict[str, Any]) -> Mask:
    """cv2.grabCut, 5 iterations: a rectangle, or marks over what is probable.

    Beside marks alone the rest starts as probable background: as probable foreground it does far worse.
    """
    import cv2

    cv2.setRNGSeed(0)
    height, width = image.shape[:2]
    mask = np.full((height, width), cv2.GC_PR_BGD, np.uint8)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    picture = np.ascontiguousarray(image[..., ::-1])
    if set(given) == {"box"}:
        x0, y0, x1, y1 = given["box"]
        cv2.grabCut(picture, mask, (x0, y0, x1 - x0, y1 - y0), *models, 5, cv2.GC_INIT_WITH_RECT)
        return mask % 2 == 1
    if "box" in given:
        x0, y0, x1, y1 = given["box"]
        mask[:] = cv2.GC_BGD
        mask[y0:y1, x0:x1] = cv2.GC_PR_FGD
    if "contour" in given:
        mask[:] = cv2.GC_BGD
        cv2.fillPoly(mask, [np.rint(given["contour"]).astype(np.int32)], cv2.GC_PR_FGD)
    if "scribbles" in given:
        mask[given["scribbles"] == 0] = cv2.GC_BGD
        mask[given["scribbles"] == 1] = cv2.GC_FGD
    for x, y, inside in given.get("clicks", ()):
        radius = max(3, round(0.005 * max(height, width)))
        cv2.circle(mask, (int(x), int(y)), radius, cv2.GC_FGD if inside else cv2.GC_BGD, -1)
    if not (mask % 2 == 0).any() or not (mask % 2 == 1).any():  # it refuses: no sample of one kind
        return mask % 2 == 1
    cv2.grabCut(picture, mask, None, *models, 5, cv2.GC_INIT_WITH_MASK)
    return mask % 2 == 1


def ours(image: NDArray[np.uint8], given: dict[str, Any]) -> Mask:
    mask: Mask = pyseg.cut(image, **given)
    return mask


IMPLEMENTATIONS = {"pyseg": ours, "grabcut": grabcut}


def measure(images: int = 0) -> list[Row]:
    """One row for each object, implementation and kind of input."""
    import cv2

    cv2.setNumThreads(1)
    pyseg.set_num_threads(1)
    cases = cut_cases.load()
    if 0 < images < len(cases):
        cases = [cases[i] for i in np.linspace(0, len(cases) - 1, images).round().astype(int)]
    rows: list[Row] = []
    for i, case in enumerate(cases):
        box, strokes = cut_cases.box_of(case.mask), cut_cases.strokes_of(case.mask)
        inputs: dict[str, dict[str, Any]] = {
            "box": {"box": box},
            "strokes": {"scribbles": strokes},
        }
        if i % THIRD == 0:
            inputs["both"] = {"box": box, "scribbles": strokes}
            inputs["contour"] = {"contour": cut_cases.contour_of(case.mask)}
        names = list(IMPLEMENTATIONS)[:: 1 if i % 2 == 0 else -1]
        for kind, given in inputs.items():
            for name in names:
                start = time.process_time()
                mask = IMPLEMENTATIONS[name](case.image, given)
                rows.append(_row(case, name, kind, mask, time.process_time() - start))
            if kind == "box":
                x0, y0, x1, y1 = box
                whole = np.zeros_like(case.mask)
                whole[y0:y1, x0:x1] = True
                rows.append(_row(case, "all of the box", kind, whole, 0.0))
        for name in names if i % THIRD == 0 else ():
            rows += _clicked(case, name)
    return rows


def _clicked(case: cut_cases.Case, name: str) -> list[Row]:
    """Click after click, each at the middle of the largest error that is left."""
    rows, clicks = [], []
    mask = np.zeros_like(case.mask)
    for n in range(1, max(CLICKS) + 1):
        click = cut_cases.click_at(case.mask, mask)
        seconds = 0.0
        if click is not None:
            clicks.append(click)
            start = time.process_time()
            mask = IMPLEMENTATIONS[name](case.image, {"clicks": clicks})
            seconds = time.process_time() - start
        if n in CLICKS:
            rows.append(_row(case, name, f"clicks {n}", mask, seconds))
    return rows


def _row(case: cut_cases.Case, name: str, kind: str, mask: Mask, seconds: float) -> Row:
    return cut_cases.facts(case) | {
        "implementation": name,
        "kind": kind,
        "iou": round(cut_cases.iou(mask, case.mask), 4),
        "ms": round(1e3 * seconds, 2),
    }


def recut(rounds: int) -> list[Row]:
    """One more stroke in a 1154 x 866 photograph: medians of wall-clock and process time."""
    from photographs import photographs

    image = photographs(1154, 866)[1]
    rows = []
    for threads in (1, 2):
        pyseg.set_num_threads(threads)
        start, cpu = time.perf_counter(), time.process_time()
        cutter = pyseg.Cutter(image)
        cutter.cut(box=(250, 40, 900, 860))
        first = time.perf_counter() - start, time.process_time() - cpu
        taken = []
        for i in range(rounds):
            line = [(300 + 20 * (i % 20), 100), (320 + 20 * (i % 20), 300)]
            start, cpu = time.perf_counter(), time.process_time()
            cutter.add_scribble(line, i % 2 == 0)
            taken.append((time.perf_counter() - start, time.process_time() - cpu))
            if i % 5 == 4:
                for _ in range(5):
                    cutter.undo()
        wall, process = (1e3 * statistics.median(t) for t in zip(*taken, strict=True))
        rows.append(
            {
                "threads": threads,
                "first_wall_ms": round(1e3 * first[0], 1),
                "first_process_ms": round(1e3 * first[1], 1),
                "recut_wall_ms": round(wall, 1),
                "recut_least_ms": round(1e3 * min(t[0] for t in taken), 1),
                "recut_process_ms": round(process, 1),
            }
        )
    return rows


def markdown(document: dict[str, Any]) -> str:
    """The report; all of it comes from the document."""
    rows = document["rows"]
    sources = [s for s in SOURCES if any(r["source"] == s for r in rows)]
    objects = {s: len({r["name"] for r in rows if r["source"] == s}) for s in sources}
    lines = [
        "# cut",
        "",
        "Mean intersection over union, and in brackets milliseconds a photograph (mean CPU time, one thread, "
        "everything included), of the same input:",
        "",
        f"| input | | {' | '.join(f'{SOURCES[s]}, {objects[s]}' for s in sources)} |",
        f"|---|---|{'---:|' * len(sources)}",
    ]
    for kind, title in KINDS.items():
        for name in ("pyseg", "grabcut", "all of the box"):
            cells = []
            for source in sources:
                found = [r for r in rows if (r["source"], r["kind"], r["implementation"]) == (source, kind, name)]
                if found:
                    value = f"{statistics.fmean(r['iou'] for r in found):.3f}"
                    ms = statistics.fmean(r["ms"] for r in found)
                    cells.append(f"{value} ({ms:.0f})" if ms else value)
            if cells:
                label = {"pyseg": "**pyseg**", "grabcut": "OpenCV grabCut"}.get(name, name)
                lines.append(f"| {title} | {label} | {' | '.join(cells)} |")
    lines += ["", "A photograph of 1154 x 866 pixels, ms:", ""]
    lines += ["| threads | first cut: wall | process | one stroke more: wall, median | least | process, median |"]
    lines += ["|---:|---:|---:|---:|---:|---:|"]
    for row in document["recut"]:
        lines.append("| " + " | ".join(str(v) for v in row.values()) + " |")
    note = load_note(document["load"])
    remark = document.get("remark", "")
    lines += [
        "",
        f"Objects of at least {cut_cases.LEAST_AREA} pixels whose box is at most {100 * cut_cases.MOST_OF_BOX:.0f} % "
        f"of the photograph; of BSDS500 the {cut_cases.PER_IMAGE} largest connected regions of the first annotator. "
        "Boxes are those of the masks; strokes are the skeletons of the object and its surroundings, 5 pixels "
        "wide; the contour is the convex hull, 4 % of its size outside; each click is at the middle of the largest "
        "error left, of each implementation's own. grabCut: 5 iterations, "
        "GC_INIT_WITH_RECT for the box, else GC_INIT_WITH_MASK; to it, clicks are discs of 3 pixels or more. Contours, "
        "clicks, and strokes with a box: every third object. The "
        "constants of pyseg were chosen on these objects, which are few, with one setting for both sets: no set here "
        "was held out.",
        "",
        footnote(document["environment"])
        + (f" Timings provisional: {note}." if note else "")
        + (f" {remark}" if remark else ""),
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Objects cut out of photographs, beside OpenCV's grabCut.")
    parser.add_argument("--images", type=int, default=0, metavar="N", help="N objects, evenly spaced; 0: all")
    parser.add_argument("--rounds", type=int, default=25, metavar="N", help="re-cuts timed")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results", metavar="FOLDER")
    parser.add_argument("--redraw", action="store_true", help="only the table, from the JSON in FOLDER")
    options = parser.parse_args()
    stored = options.out / "cut.json"
    if not options.redraw:
        rows = measure(options.images)
        if not rows:
            print("no objects: nothing in $PYSEG_SHARED, nor in ../shared")
        document = {"environment": describe(), "rows": rows, "recut": recut(options.rounds)}
        document["load"] = round(os.getloadavg()[0], 2)
        options.out.mkdir(parents=True, exist_ok=True)
        stored.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    document = json.loads(stored.read_text(encoding="utf-8"))
    text = markdown(document)
    (options.out / "cut.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
