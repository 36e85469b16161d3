"""The definition of ``pyseg.paste_masks`` in plain NumPy, in float64: slow, and equal but for rounding.

"detectron2": the mask covers its box. Pixel i along an axis lies at (i + 1/2 - b0) / (b1 - b0) * size - 1/2 of the
mask's pixels, interpolated bilinearly with zeros outside. Pixels up to one beyond floor(b0) and ceil(b1) are computed.

"torchvision": the mask gets a border of one zero, and its box grows by (size + 2) / size about its middle, with the
width's size for both axes; its corners are cut to whole numbers, in the boxes' own type. The mask is resized to
max(last - first + 1, 1) pixels, pixel i at (i + 1/2) * (size + 2) / length - 1/2, at least 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["paste_masks"]

Floats = NDArray[np.float64]


def _exact(low: float, high: float, size: int, pixels: int) -> tuple[int, int, Floats]:
    """Pixels from, to, and a matrix from the mask's pixels to them."""
    begin = int(np.clip(np.floor(low) - 1, 0, pixels))
    end = max(begin, int(np.clip(np.ceil(high) + 1, 0, pixels)))
    matrix = np.zeros((end - begin, size))
    for i in range(begin, end):
        with np.errstate(all="ignore"):
            at = (i + 0.5 - low) / np.float64(high - low) * size - 0.5
        if not -1 <= at < size:
            continue
        first = int(np.floor(at))
        for place, weight in ((first, 1 - (at - first)), (first + 1, at - first)):
            if 0 <= place < size:
                matrix[i - begin, place] += weight
    return begin, end, matrix


def _whole(low: Any, high: Any, size: int, side: int, pixels: int) -> tuple[int, int, Floats]:
    kind = type(low)
    half = (high - low) * kind(0.5) * kind((side + 2) / side)
    middle = (high + low) * kind(0.5)
    first, last = int(middle - half), int(middle + half)
    length = max(last - first + 1, 1)
    begin = int(np.clip(first, 0, pixels))
    end = max(begin, int(np.clip(last + 1, 0, pixels)))
    matrix = np.zeros((end - begin, size + 2))
    for i in range(begin, end):
        at = max((i - first + 0.5) * (size + 2) / length - 0.5, 0.0)
        place = min(int(at), size + 1)
        weight = min(at - place, 1.0)
        matrix[i - begin, place] += 1 - weight
        matrix[i - begin, min(place + 1, size + 1)] += weight
    return begin, end, matrix[:, 1:-1]


def paste_masks(
    masks: NDArray[Any],
    boxes: NDArray[Any],
    image_size: tuple[int, int],
    threshold: float | None = 0.5,
    *,
    convention: str = "torchvision",
) -> NDArray[Any]:
    """[N, *image_size] of masks [N, h, w] and boxes [N, 4], float64 where the threshold is None; else bool."""
    boxes = boxes.astype(np.float64 if boxes.dtype == np.float64 else np.float32)
    out = np.zeros((len(masks), *image_size))
    for i, (mask, box) in enumerate(zip(masks.astype(np.float32).astype(np.float64), boxes, strict=True)):
        if not np.isfinite(box).all():
            continue
        if convention == "detectron2":
            rows = _exact(float(box[1]), float(box[3]), mask.shape[0], image_size[0])
            columns = _exact(float(box[0]), float(box[2]), mask.shape[1], image_size[1])
        else:
            rows = _whole(box[1], box[3], mask.shape[0], mask.shape[1], image_size[0])
            columns = _whole(box[0], box[2], mask.shape[1], mask.shape[1], image_size[1])
        out[i, rows[0] : rows[1], columns[0] : columns[1]] = rows[2] @ mask @ columns[2].T
    return out if threshold is None else out >= threshold
