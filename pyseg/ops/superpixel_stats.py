"""What is known of each superpixel: area, centre, bounding box, mean colour, and which ones touch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyseg import _runtime
from pyseg._arrays import Array, to_numpy
from pyseg._check import flag, integer

__all__ = ["SuperpixelStats", "superpixel_stats"]

_MOST = 2**31 - 1


@dataclass(frozen=True)
class SuperpixelStats:
    """Statistics of n superpixels; row i is of label ``start_label + i``. Arrays are of the labels' kind.

    Attributes:
        n: number of superpixels.
        start_label: the label of row 0.
        area: int64 [n], pixels.
        center: float64 [n, 2] (y, x), or [n, 3] (z, y, x): mean position in pixels.
        bbox: int32 [n, 4] (y0, x0, y1, x1), or [n, 6] (z0, y0, x0, z1, y1, x1); the ends are excluded.
        mean_color: float64 [n, C] in the image's own units.
        mean_lab: float64 [n, 3] mean in CIELAB, or None where the image is not RGB.
        edges: int32 [e, 2] labels a < b that share a boundary (the region adjacency graph), sorted.
        boundary_length: int64 [e] neighbouring pixel pairs of an edge.
    """

    n: int
    start_label: int
    area: Any
    center: Any
    bbox: Any
    mean_color: Any
    mean_lab: Any
    edges: Any
    boundary_length: Any
    _full_range: float = 1.0

    @property
    def initial_centers(self) -> Any:
        """[n, dims + C] positions and colours, for ``slic(next_frame, initial_centers=...)``."""
        color = self.mean_color * (100.0 / self._full_range) if self.mean_lab is None else self.mean_lab
        if isinstance(self.center, np.ndarray):
            return np.concatenate([self.center, color], axis=1)
        if type(self.center).__module__.partition(".")[0] == "cupy":
            import cupy

            return cupy.concatenate([self.center, color], axis=1)
        import torch

        return torch.cat([self.center, color], dim=1)


def superpixel_stats(
    labels: Array,
    image: Array,
    *,
    n: int | None = None,
    start_label: int = 0,
    channel_axis: int | None = -1,
    convert2lab: bool | None = None,
) -> SuperpixelStats:
    """Area, centre, bounding box, mean colour and adjacency of the superpixels of a label map.

    Args:
        labels: integers [H, W] or [D, H, W]; ``start_label`` .. ``start_label + n - 1`` are counted, others left out.
        image: the image, as for :func:`pyseg.slic`.
        n: number of labels; None: up to the largest.
        start_label: the first label.
        channel_axis: the image's axis of channels; None for none.
        convert2lab: also give the means in CIELAB. None: where there are 3 channels.

    Raises:
        ValueError: shapes that do not fit, a negative ``n``.
        TypeError: labels that are no integers, an unsupported image dtype.
    """
    op = "superpixel_stats"
    label_array, back = to_numpy(op, "labels", labels)
    image_array, _ = to_numpy(op, "image", image)
    if label_array.dtype.kind not in "iu":
        raise TypeError(f"{op}: labels must be integers, got {label_array.dtype}")
    dims = label_array.ndim
    if dims not in (2, 3):
        raise ValueError(f"{op}: labels must be [H, W] or [D, H, W], got {list(label_array.shape)}")
    if math.prod(label_array.shape) > _MOST:
        raise ValueError(f"{op}: labels must have at most 2^31 - 1 pixels, got {list(label_array.shape)}")
    if image_array.ndim == dims:
        axis, spatial = -1, list(range(dims))
    else:
        if channel_axis is None or image_array.ndim != dims + 1:
            shape = list(label_array.shape)
            raise ValueError(
                f"{op}: image must have the labels' shape {shape}, and channels, got {list(image_array.shape)}"
            )
        axis = integer(op, "channel_axis", channel_axis, -dims - 1, dims) % (dims + 1)
        spatial = [d for d in range(dims + 1) if d != axis]
    if tuple(image_array.shape[d] for d in spatial) != label_array.shape:
        raise ValueError(f"{op}: image must be {list(label_array.shape)} as labels, got {list(image_array.shape)}")
    channels = 1 if axis < 0 else image_array.shape[axis]
    lab = channels == 3 if convert2lab is None else flag(op, "convert2lab", convert2lab)
    start = integer(op, "start_label", start_label, 0, 2**31 - 1)
    if n is None:
        n = max(0, int(label_array.max()) - start + 1) if label_array.size else 0
    count = integer(op, "n", n, 0, 2**31 - 1)
    if label_array.dtype.itemsize > 4 or label_array.dtype == np.uint32:  # what int32 cannot hold must not come back
        label_array = np.where((label_array >= start) & (label_array - start < count), label_array, -1)
    axes = [-1] * (3 - dims) + spatial + [axis]
    raw = _runtime.native().superpixel_stats(
        np.ascontiguousarray(label_array, dtype=np.int32), image_array, axes, count, start, lab
    )
    first = 3 - dims
    full = float(np.iinfo(image_array.dtype).max) if image_array.dtype.kind == "u" else 1.0
    return SuperpixelStats(
        n=count,
        start_label=start,
        area=back(raw["area"]),
        center=back(np.ascontiguousarray(raw["center"][:, first:])),
        bbox=back(np.ascontiguousarray(raw["box"][:, [*range(first, 3), *range(3 + first, 6)]])),
        mean_color=back(raw["mean"]),
        mean_lab=back(raw["mean_lab"]) if lab else None,
        edges=back(raw["edges"]),
        boundary_length=back(raw["boundary"]),
        _full_range=full,
    )
