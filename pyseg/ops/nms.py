"""Non-maximum suppression of boxes, as torchvision's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pyseg import _runtime
from pyseg._arrays import Array, is_torch, to_numpy
from pyseg._check import real
from pyseg.ops._boxes import check_dense, contiguous, errors_of, floating

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["batched_nms", "nms"]

_MOST = 2**31 - 1


def _check_shapes(op: str, boxes: Any, scores: Any, idxs: Any) -> None:
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"{op}: boxes must be [N, 4], got {list(boxes.shape)}")
    if boxes.shape[0] > _MOST:
        raise ValueError(f"{op}: there must be less than 2^31 boxes, got {boxes.shape[0]}")
    for name, x in (("scores", scores), ("idxs", idxs)):
        if x is not None and (x.ndim != 1 or x.shape[0] != boxes.shape[0]):
            raise ValueError(f"{op}: {name} must be [{boxes.shape[0]}], one a box, got {list(x.shape)}")


def _on_torch(op: str, boxes: Tensor, scores: Any, idxs: Any, threshold: float) -> Tensor:
    import torch

    _runtime.load_torch()
    for name, x in (("boxes", boxes), ("scores", scores)):
        check_dense(op, name, x)
        floating(op, name, x)
    if idxs is not None:
        check_dense(op, "idxs", idxs)
        if idxs.dtype.is_floating_point or idxs.dtype.is_complex or idxs.dtype == torch.bool:
            raise TypeError(f"{op}: idxs must be integers, got {idxs.dtype}")
    _check_shapes(op, boxes, scores, idxs)
    idxs = None if idxs is None else idxs.to("cpu", torch.int64)
    dtype = torch.float64 if torch.float64 in (boxes.dtype, scores.dtype) else torch.float32
    with errors_of(op):
        kept: Tensor = torch.ops.pyseg.nms(
            boxes.detach().to("cpu", dtype), scores.detach().to("cpu", dtype), threshold, idxs
        )
    return kept.to(boxes.device)


def _on_numpy(op: str, boxes: Any, scores: Any, idxs: Any, threshold: float) -> Any:
    rows, back = to_numpy(op, "boxes", boxes)
    values = to_numpy(op, "scores", scores)[0]
    classes = None if idxs is None else to_numpy(op, "idxs", idxs)[0]
    if classes is not None and classes.dtype.kind not in "iu":
        raise TypeError(f"{op}: idxs must be integers, got {classes.dtype}")
    _check_shapes(op, rows, values, classes)
    if classes is not None:
        classes = np.require(classes, np.int64, ["C_CONTIGUOUS", "ALIGNED"])
    dtype = np.float64 if np.float64 in (rows.dtype, values.dtype) else np.float32
    rows, values = contiguous(op, "boxes", rows, dtype), contiguous(op, "scores", values, dtype)
    return back(_runtime.native().nms(rows, values, threshold, classes))


def _run(op: str, boxes: Any, scores: Any, idxs: Any, iou_threshold: Any) -> Any:
    threshold = real(op, "iou_threshold", iou_threshold)
    return (_on_torch if is_torch(boxes) else _on_numpy)(op, boxes, scores, idxs, threshold)


def nms(boxes: Array, scores: Array, iou_threshold: float) -> Any:
    """Non-maximum suppression: in the order of descending scores, a box is kept unless it overlaps one kept before.

    The indices are those of torchvision's CPU kernel: equal scores are taken in the order given, a NaN score before all
    numbers; boxes suppress each other where their intersection over union is above the threshold, not equal to it; that
    of two boxes without area, or with a NaN coordinate, is NaN, which is not above. 16-bit values are computed in
    float32.

    Args:
        boxes: [N, 4], rows of (x1, y1, x2, y2); float16, bfloat16 (torch), float32 or float64, any strides. NumPy,
            CuPy, torch, or anything with ``__dlpack__``.
        scores: [N], of such a type. Where one of the two is float64, both are taken as such.
        iou_threshold: any number.

    Returns:
        int64 [number kept]: places in ``boxes``, in descending order of the scores; the same kind, on the same device.

    Raises:
        ValueError: another shape, a threshold that is NaN.
        TypeError: an unsupported dtype or kind of argument.

    There is no GPU kernel: CuPy arrays and CUDA tensors are computed on the CPU and given back on the device.
    """
    return _run("nms", boxes, scores, None, iou_threshold)


def batched_nms(boxes: Array, scores: Array, idxs: Array, iou_threshold: float) -> Any:
    """:func:`nms` within each class: boxes of different classes do not suppress each other.

    The indices are those of torchvision on a CPU, which has two ways. Up to 1000 boxes are moved apart, by their class
    times (the largest coordinate + 1), and suppressed together; that rounds coordinates, boxes at negative coordinates
    may reach those of the next class, and one coordinate that is NaN keeps all boxes. More of them are suppressed class
    by class. (There torchvision orders equal scores arbitrarily; here they come in the order given.)

    Args:
        boxes, scores, iou_threshold: as of :func:`nms`.
        idxs: [N] integers, each box's class.

    Returns:
        As :func:`nms`.

    Raises:
        ValueError, TypeError: as :func:`nms`.
    """
    if idxs is None:
        raise TypeError("batched_nms: idxs must be an array of integers, got None")
    return _run("batched_nms", boxes, scores, idxs, iou_threshold)
