"""The definition of ``pyseg.nms`` and ``pyseg.batched_nms`` in plain NumPy: slow, and the same indices.

torchvision's arithmetic, in float32 (float64 where boxes or scores are):

1. Order: descending scores, equal ones as they come, NaN first.
2. A box is kept unless I / (A + B - I) > threshold for one kept before; I = max(0, w) * max(0, h). A comparison with
   NaN is false; of two numbers one of which is NaN, the larger and the smaller are those of the box kept before.
3. In classes: up to 1000 boxes are moved by class * (largest coordinate + 1) and taken as one class; more are taken
   class by class.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["batched_nms", "nms"]


def _overlap(a: Any, b: Any) -> Any:
    """IoU of box ``a``, kept before, and ``b``."""
    zero = type(a[0])(0)
    left, top = (b[i] if a[i] < b[i] else a[i] for i in (0, 1))
    right, bottom = (b[i] if b[i] < a[i] else a[i] for i in (2, 3))
    w, h = (d if d > 0 else zero for d in (right - left, bottom - top))
    both = w * h
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return both / (areas[0] + areas[1] - both)


def _typed(boxes: NDArray[Any], scores: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    kind = np.float64 if np.float64 in (boxes.dtype, scores.dtype) else np.float32
    return boxes.astype(kind), scores.astype(kind)


def nms(boxes: NDArray[Any], scores: NDArray[Any], iou_threshold: float) -> NDArray[np.int64]:
    """int64: the places of the boxes that are kept, by descending scores; arguments are taken as valid."""
    boxes, scores = _typed(boxes, scores)
    order = sorted(
        range(len(scores)), key=lambda i: (scores[i] == scores[i], -scores[i] if scores[i] == scores[i] else 0)
    )
    kept: list[int] = []
    with np.errstate(all="ignore"):
        for i in order:
            if not any(float(_overlap(boxes[k], boxes[i])) > iou_threshold for k in kept):
                kept.append(i)
    return np.array(kept, np.int64)


def batched_nms(
    boxes: NDArray[Any], scores: NDArray[Any], idxs: NDArray[Any], iou_threshold: float
) -> NDArray[np.int64]:
    """As :func:`nms`, within each class."""
    boxes, scores = _typed(boxes, scores)
    if len(boxes) == 0:
        return np.empty(0, np.int64)
    if len(boxes) <= 1000:
        with np.errstate(all="ignore"):
            shift = idxs.astype(boxes.dtype) * (boxes.max() + boxes.dtype.type(1))
            return nms(boxes + shift[:, None], scores, iou_threshold)
    kept = np.zeros(len(boxes), bool)
    for c in np.unique(idxs):
        (places,) = np.nonzero(idxs == c)
        kept[places[nms(boxes[places], scores[places], iou_threshold)]] = True
    every = nms(boxes, scores, np.inf)  # nothing is suppressed: the order
    return every[kept[every]]
