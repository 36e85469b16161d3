"""slic on CuPy arrays: raw addresses to ``pyseg._native_cuda``, memory from CuPy's pool, on CuPy's current stream."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def slic(
    library: Any, image: Any, axes: list[int], axis: int | None, o: Any, centers: NDArray[np.float64] | None
) -> tuple[Any, Any]:
    """A uint8 image [H, W] or with channels on the device -> (labels int32 [H, W], count int64 []), on the device."""
    import cupy

    shape = (1, *(image.shape[d] for d in axes), 1 if axis is None else image.shape[axis])
    strides = (0, *(image.strides[d] for d in axes), 0 if axis is None else image.strides[axis])
    options = {
        name: getattr(o, name)
        for name in (
            "n_segments", "compactness", "max_iter", "tol", "sigma", "to_lab", "enforce_connectivity",
            "min_size_factor", "start_label",
        )
    }  # fmt: skip
    given = {} if centers is None else {"n_centers": centers.shape[0], "center_width": centers.shape[1]}
    with image.device:
        on_device = None if centers is None else cupy.asarray(centers)
        labels = cupy.empty(shape[1:3], cupy.int32)
        count = cupy.empty((), cupy.int64)
        size = library.slic_workspace(shape, **options, **given)
        workspace = cupy.empty(size, cupy.uint8)
        library.slic(
            image.data.ptr,
            shape,
            strides,
            **options,
            **given,
            centers=0 if on_device is None else on_device.data.ptr,
            labels=labels.data.ptr,
            count=count.data.ptr,
            workspace=workspace.data.ptr,
            workspace_bytes=size,
            stream=cupy.cuda.get_current_stream().ptr,
            device=image.device.id,
        )
    return labels, count
