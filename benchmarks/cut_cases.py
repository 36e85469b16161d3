"""Objects to cut out, and simulated people: boxes, strokes, clicks and contours drawn by rule from a known mask.

The photographs and their annotations are no part of the project: they lie in the folder that PYSEG_SHARED names, or
``shared`` beside the repository. Every simulator is a function of the mask alone, without random numbers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from environment import shared_folder
from numpy.typing import NDArray

__all__ = ["LEAST_AREA", "Case", "box_of", "click_at", "contour_of", "iou", "load", "strokes_of"]

LEAST_AREA = 1000  # pixels
MOST_OF_BOX = 0.8  # of the image: a box that is the image says nothing
PER_IMAGE = 4  # segments of a BSDS image

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Case:
    """An object: where it comes from ("coco": a countable thing, "bsds": a region), its photograph and its mask."""

    source: str
    name: str
    image: NDArray[np.uint8]
    mask: Mask


def load() -> list[Case]:
    """All objects, none where the data are missing."""
    folder = shared_folder()
    if folder is None or not (folder / "data" / "coco_samples").is_dir():
        return []
    return [*_panoptic(folder / "data/coco_samples/panoptic"), *_keypoints(folder / "data/coco_samples/keypoints"),
            *_bsds(folder / "data/bsds12")]  # fmt: skip


def _read(path: Path) -> NDArray[np.uint8]:
    from PIL import Image

    with Image.open(path) as picture:
        return np.array(picture.convert("RGB"))


def _fits(mask: Mask) -> bool:
    if mask.sum() < LEAST_AREA:
        return False
    x0, y0, x1, y1 = box_of(mask)
    return (x1 - x0) * (y1 - y0) <= MOST_OF_BOX * mask.size


def _panoptic(folder: Path) -> list[Case]:
    data = json.loads((folder / "panoptic.json").read_text())
    things = {c["id"] for c in data["categories"] if c["isthing"]}
    names = {c["id"]: c["name"] for c in data["categories"]}
    cases = []
    for annotation in data["annotations"]:
        stem = Path(annotation["file_name"]).stem
        image = _read(folder / "images" / f"{stem}.jpg")
        ids = _read(folder / "maps" / f"{stem}.png").astype(np.int64) @ np.array([1, 256, 65536])
        for segment in annotation["segments_info"]:
            mask = ids == segment["id"]
            if not segment["iscrowd"] and _fits(mask):
                kind = "coco" if segment["category_id"] in things else "coco_stuff"
                cases.append(Case(kind, f"{stem} {names[segment['category_id']]} {segment['id']}", image, mask))
    return cases


def _keypoints(folder: Path) -> list[Case]:
    from PIL import Image, ImageDraw

    data = json.loads((folder / "person_keypoints.json").read_text())
    files = {i["id"]: i["file_name"] for i in data["images"]}
    cases = []
    for annotation in data["annotations"]:
        path = folder / files[annotation["image_id"]]
        if annotation["iscrowd"] or not isinstance(annotation["segmentation"], list) or not path.is_file():
            continue
        image = _read(path)
        canvas = Image.new("1", image.shape[1::-1])
        for polygon in annotation["segmentation"]:
            ImageDraw.Draw(canvas).polygon([float(v) for v in polygon], fill=1)
        mask = np.array(canvas)
        if _fits(mask):
            cases.append(Case("coco", f"{path.stem} person {annotation['id']}", image, mask))
    return cases


def _bsds(folder: Path) -> list[Case]:
    """The largest connected regions of the first annotator that are not nearly the image."""
    from scipy import ndimage

    cases = []
    for path in sorted((folder / "ground_truth").glob("*.npz")):
        segments = np.load(path)["segmentations"][0]
        image = _read(folder / "images" / f"{path.stem}.jpg")
        found: list[Mask] = []
        for label in np.unique(segments):
            parts, n = ndimage.label(segments == label)
            found += [parts == i for i in range(1, n + 1) if (parts == i).sum() >= LEAST_AREA]
        found = sorted((m for m in found if _fits(m)), key=lambda m: -int(m.sum()))
        cases += [Case("bsds", f"{path.stem} region {i}", image, m) for i, m in enumerate(found[:PER_IMAGE])]
    return cases


def iou(a: Mask, b: Mask) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def box_of(mask: Mask) -> tuple[int, int, int, int]:
    """(x0, y0, x1, y1), the ends excluded."""
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1


def _depth(mask: Mask) -> NDArray[np.float64]:
    """Distance to the nearest pixel outside; what is beyond the picture is outside too."""
    from scipy import ndimage

    depth: NDArray[np.float64] = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    return depth


def _stroke(region: Mask, share: float) -> Mask:
    """A line of five pixels' width along the middle of the region: the skeleton of what lies deeper than ``share``."""
    from scipy import ndimage
    from skimage.morphology import skeletonize

    depth = _depth(region)
    line = skeletonize(depth > share * depth.max())
    wide: Mask = ndimage.binary_dilation(line, iterations=2) & (depth > min(2.0, 0.5 * depth.max()))
    return wide


def strokes_of(mask: Mask) -> NDArray[np.int8]:
    """int8 [H, W]: 1 along the middle of the object, 0 along the middle of its surroundings, -1 elsewhere.

    The surroundings are the object's box, a fifth wider on each side, without what is nearer to the object than a
    fortieth of the box's diagonal.
    """
    from scipy import ndimage

    x0, y0, x1, y1 = box_of(mask)
    dx, dy = max(8, (x1 - x0) // 5), max(8, (y1 - y0) // 5)
    near = ndimage.distance_transform_edt(~mask) < np.hypot(x1 - x0, y1 - y0) / 40
    around = np.zeros_like(mask)
    around[max(0, y0 - dy) : y1 + dy, max(0, x0 - dx) : x1 + dx] = True
    around &= ~near
    strokes = np.full(mask.shape, -1, np.int8)
    if around.any():
        strokes[_stroke(around, 0.4)] = 0
    strokes[_stroke(mask, 0.4)] = 1
    return strokes


def click_at(truth: Mask, guess: Mask) -> tuple[int, int, bool] | None:
    """Where a person would click next: the deepest pixel of the largest error. (x, y, is the object), None if right."""
    best = None
    for wrong, inside in ((truth & ~guess, True), (guess & ~truth, False)):
        depth = _depth(wrong)
        at = int(depth.argmax())
        if best is None or depth.flat[at] > best[0]:
            best = (float(depth.flat[at]), at % truth.shape[1], at // truth.shape[1], inside)
    return None if best is None or best[0] == 0 else best[1:]


def contour_of(mask: Mask) -> NDArray[np.float64]:
    """A rough outline [24, 2] (x, y): the convex hull of the object, 4 % of its size outside, at 24 angles."""
    ys, xs = np.nonzero(mask)
    center = np.array([(xs.min() + xs.max()) / 2, (ys.min() + ys.max()) / 2])
    angles = np.arange(24) * (2 * np.pi / 24)
    directions = np.stack([np.cos(angles), np.sin(angles)], 1)
    reach = ((np.stack([xs, ys], 1) - center) @ directions.T).max(0)  # support function of the hull
    reach = reach + 0.04 * np.hypot(np.ptp(xs), np.ptp(ys))
    following = np.roll(reach, -1)
    step = 2 * np.pi / 24  # corners of the polygon of tangents
    along = (following - reach * np.cos(step)) / np.sin(step)
    normals = np.stack([-directions[:, 1], directions[:, 0]], 1)
    corners: NDArray[np.float64] = center + reach[:, None] * directions + along[:, None] * normals
    return corners


def facts(case: Case) -> dict[str, Any]:
    return {"source": case.source, "name": case.name, "area": int(case.mask.sum()), "box": box_of(case.mask)}
