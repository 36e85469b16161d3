"""Masks of boxes drawn into images, as Mask R-CNN's implementations do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pyseg import _runtime
from pyseg._arrays import Array, is_torch, to_numpy
from pyseg._check import real
from pyseg.ops._boxes import check_dense, contiguous, errors_of, floating, pair

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["paste_masks"]

_CONVENTIONS = {"torchvision": True, "detectron2": False}  # whether boxes are cut to whole pixels
_MOST_SIZE = 2**24 - 1


def _check_shapes(masks: Any, boxes: Any) -> None:
    if masks.ndim != 3 or 0 in masks.shape[1:] or max(masks.shape[1:]) > _MOST_SIZE:
        raise ValueError(f"paste_masks: masks must be [N, h, w] or [N, 1, h, w], not empty, got {list(masks.shape)}")
    if boxes.ndim != 2 or boxes.shape[1] != 4 or boxes.shape[0] != masks.shape[0]:
        raise ValueError(f"paste_masks: boxes must be [{masks.shape[0]}, 4], one a mask, got {list(boxes.shape)}")


def _on_torch(masks: Tensor, boxes: Any, size: tuple[int, int], threshold: float | None, whole: bool) -> Tensor:
    import torch

    _runtime.load_torch()
    for name, x in (("masks", masks), ("boxes", boxes)):
        check_dense("paste_masks", name, x)
        floating("paste_masks", name, x)
    if masks.ndim == 4 and masks.shape[1] == 1:
        masks = masks[:, 0]
    _check_shapes(masks, boxes)
    wide = torch.float64 if boxes.dtype == torch.float64 else torch.float32
    with errors_of("paste_masks"):
        result: Tensor = torch.ops.pyseg.paste_masks(
            masks.detach().to("cpu", torch.float32), boxes.detach().to("cpu", wide), *size, threshold, whole
        )
    return result.to(masks.device)


def _on_numpy(masks: Any, boxes: Any, size: tuple[int, int], threshold: float | None, whole: bool) -> Any:
    array, back = to_numpy("paste_masks", "masks", masks)
    rows = to_numpy("paste_masks", "boxes", boxes)[0]
    if array.ndim == 4 and array.shape[1] == 1:
        array = array[:, 0]
    _check_shapes(array, rows)
    wide = np.float64 if rows.dtype == np.float64 else np.float32
    array, rows = contiguous("paste_masks", "masks", array, np.float32), contiguous("paste_masks", "boxes", rows, wide)
    return back(_runtime.native().paste_masks(array, rows, *size, threshold, whole))


def paste_masks(
    masks: Array,
    boxes: Array,
    image_size: tuple[int, int],
    threshold: float | None = 0.5,
    *,
    convention: str = "torchvision",
) -> Any:
    """Draws the mask of each box into an image of its own, by bilinear interpolation and a threshold.

    Only pixels of the boxes are computed, in float32. They are those of the two implementations but for rounding: a
    value within 1e-5 of the threshold may fall to the other side.

    Args:
        masks: [N, h, w] or [N, 1, h, w], float16, bfloat16 (torch), float32 or float64; any strides. NumPy, CuPy,
            torch, or anything with ``__dlpack__``.
        boxes: [N, 4], rows of (x1, y1, x2, y2) in pixels of the image; any floating-point type. A box that is not
            finite, or is turned inside out, pastes nothing.
        image_size: (height, width) of the images.
        threshold: pixels of at least that much are True. None: the values themselves.
        convention: where a mask's pixels lie. "torchvision": the mask gets a border of zeros, its box grows alike and
            is cut to whole pixels, the last of which is inside. "detectron2": it covers the box as it is.

    Returns:
        bool [N, height, width], or float32 where the threshold is None; the same kind, on the same device. Without
        gradients.

    Raises:
        ValueError: another shape, an unknown convention, a threshold that is NaN.
        TypeError: an unsupported dtype or kind of argument.

    There is no GPU kernel: CuPy arrays and CUDA tensors are computed on the CPU and given back on the device.
    """
    if not isinstance(convention, str) or convention not in _CONVENTIONS:
        raise ValueError(f"paste_masks: convention must be of {list(_CONVENTIONS)}, got {convention!r}")
    size = pair("paste_masks", "image_size", image_size, 0)
    bar = None if threshold is None else real("paste_masks", "threshold", threshold)
    return (_on_torch if is_torch(masks) else _on_numpy)(masks, boxes, size, bar, _CONVENTIONS[convention])
