"""RoIAlign (He et al., "Mask R-CNN", ICCV 2017, section 3): features of boxes, as torchvision computes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyseg import _runtime
from pyseg._arrays import Array, is_torch, to_numpy
from pyseg._check import flag, integer, real
from pyseg.ops._boxes import check_dense, contiguous, errors_of, floating, pair

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["roi_align"]

_MOST_SAMPLING = 1024


@dataclass(frozen=True)
class _Options:
    height: int
    width: int
    scale: float
    sampling: int
    aligned: bool


def _options(output_size: Any, spatial_scale: Any, sampling_ratio: Any, aligned: Any) -> _Options:
    op = "roi_align"
    scale = real(op, "spatial_scale", spatial_scale)
    if not 0 < scale < float("inf"):
        raise ValueError(f"{op}: spatial_scale must be finite and > 0, got {spatial_scale}")
    sampling = integer(op, "sampling_ratio", sampling_ratio, -(2**31), _MOST_SAMPLING)
    height, width = pair(op, "output_size", output_size, 1)
    return _Options(height, width, scale, max(sampling, 0), flag(op, "aligned", aligned))


def _check_shapes(features: Any, boxes: list[Any], listed: bool) -> None:
    if features.ndim != 4:
        raise ValueError(f"roi_align: features must be [B, C, H, W], got {list(features.shape)}")
    columns = 4 if listed else 5
    for box in boxes:
        if box.ndim != 2 or box.shape[1] != columns:
            rule = "a sequence of [L, 4], one an image" if listed else "[K, 5], or a sequence of [L, 4]"
            raise ValueError(f"roi_align: boxes must be {rule}, got {list(box.shape)}")
    if listed and len(boxes) != features.shape[0]:
        raise ValueError(f"roi_align: boxes must be one [L, 4] an image, {features.shape[0]} in all, got {len(boxes)}")
    if 0 in features.shape[2:]:
        raise ValueError(f"roi_align: features must not be empty in height or width, got {list(features.shape)}")


def _on_torch(features: Tensor, boxes: Any, o: _Options) -> Tensor:
    import torch

    _runtime.load_torch()
    listed = isinstance(boxes, (list, tuple))
    every = list(boxes) if listed else [boxes]
    check_dense("roi_align", "features", features)
    floating("roi_align", "features", features)
    for box in every:
        check_dense("roi_align", "boxes", box)
        floating("roi_align", "boxes", box)
    _check_shapes(features, every, listed)
    dtype = torch.float64 if features.dtype == torch.float64 else torch.float32
    rows = [box.detach().to("cpu", dtype) for box in every]
    if listed:
        rows = [torch.cat([row.new_full((row.shape[0], 1), i), row], 1) for i, row in enumerate(rows)]
        rows = [torch.cat(rows) if rows else torch.empty(0, 5, dtype=dtype)]
    with errors_of("roi_align"):
        result: Tensor = torch.ops.pyseg.roi_align(
            features.cpu(), rows[0], o.height, o.width, o.scale, o.sampling, o.aligned
        )
    return result.to(features.device)


def _on_numpy(features: Any, boxes: Any, o: _Options) -> Any:
    array, back = to_numpy("roi_align", "features", features)
    listed = isinstance(boxes, (list, tuple))
    every = [to_numpy("roi_align", "boxes", box)[0] for box in (boxes if listed else [boxes])]
    _check_shapes(array, every, listed)
    dtype = np.float64 if array.dtype == np.float64 else np.float32
    rows: list[NDArray[Any]] = [contiguous("roi_align", "boxes", box, dtype) for box in every]
    if listed:
        rows = [np.insert(row, 0, i, 1) for i, row in enumerate(rows)]
        rows = [np.concatenate([np.empty((0, 5), dtype), *rows])]
    turned = array.transpose(0, 2, 3, 1)
    last = turned.flags.c_contiguous and not array.flags.c_contiguous
    maps = contiguous("roi_align", "features", turned if last else array)
    result = _runtime.native().roi_align(maps, rows[0], o.height, o.width, o.scale, o.sampling, o.aligned, last)
    return back(result.transpose(0, 3, 1, 2) if last else result)


def roi_align(
    features: Array,
    boxes: Array | Sequence[Array],
    output_size: int | tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> Any:
    """RoIAlign: for each box a map of fixed size, of means over bilinear samples on a regular grid in each bin.

    Float32 and float64 results and gradients are those of torchvision's CPU kernels, bit for bit; they do not depend on
    threads, instruction set or kind of array. 16-bit features are computed in float32 and rounded once.

    A sample more than one pixel outside the map, or at NaN, counts as 0; others outside are moved to the border. So
    boxes that are empty, turned inside out, outside, huge, NaN or infinite are no error. (Only where a map's first
    pixel is NaN or infinite torchvision differs: it multiplies that by 0.)

    Args:
        features: [B, C, H, W], float16, bfloat16 (torch), float32 or float64; any strides. NumPy, CuPy, torch, or
            anything with ``__dlpack__``. Features in channels_last order give a result in that order.
        boxes: [K, 5], rows of (place in the batch, x1, y1, x2, y2); or a sequence of [L, 4], one an image. Any
            floating-point type; converted to float64 beside features of float64, else to float32.
        output_size: (height, width) of the result in bins, or one integer for both.
        spatial_scale: of the boxes' coordinates, to pixels of the map.
        sampling_ratio: samples a bin along each axis, up to 1024. 0 or less: ceil(size of the box / bins).
        aligned: True: coordinates of pixels' centres are halves, as they should be. False: they are whole numbers, and
            boxes are at least a pixel wide and high.

    Returns:
        [K, C, height, width], of the features' type, kind and device. Differentiable in the features, twice.

    Raises:
        ValueError: another shape, a place that is not in the batch, a value out of range.
        TypeError: an unsupported dtype or kind of argument.

    There is no GPU kernel: CuPy arrays and CUDA tensors are computed on the CPU and given back on the device.
    """
    options = _options(output_size, spatial_scale, sampling_ratio, aligned)
    return _on_torch(features, boxes, options) if is_torch(features) else _on_numpy(features, boxes, options)
