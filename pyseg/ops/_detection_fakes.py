"""Fake kernels of ``torch.ops.pyseg.nms`` and ``paste_masks``. Imported with the library."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.library.register_fake("pyseg::nms")  # type: ignore[untyped-decorator]
def _nms(boxes: Tensor, scores: Tensor, threshold: float, classes: Tensor | None) -> Tensor:
    kept = torch.library.get_ctx().new_dynamic_size()
    return boxes.new_empty([kept], dtype=torch.int64)


@torch.library.register_fake("pyseg::paste_masks")  # type: ignore[untyped-decorator]
def _paste_masks(
    masks: Tensor, boxes: Tensor, height: int, width: int, threshold: float | None, whole_pixels: bool
) -> Tensor:
    dtype = torch.float32 if threshold is None else torch.bool
    return masks.new_empty([masks.shape[0], height, width], dtype=dtype)
