"""Fake kernels: what torch.compile and torch.export need to know of an op's result. Imported with the library."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.library.register_fake("pyseg::felzenszwalb")  # type: ignore[untyped-decorator]
def _felzenszwalb(image: Tensor, scale: float, sigma: float, min_size: int, start_label: int) -> tuple[Tensor, Tensor]:
    if image.dim() != 4:
        raise ValueError(f"felzenszwalb: image must be [B, C, H, W], got {image.dim()} dimensions")
    labels = image.new_empty([image.shape[0], *image.shape[2:]], dtype=torch.int32)
    return labels, image.new_empty([image.shape[0]], dtype=torch.int64)


@torch.library.register_fake("pyseg::slic")  # type: ignore[untyped-decorator]
def _slic(
    image: Tensor,
    n_segments: int,
    compactness: float,
    max_iter: int,
    tol: float,
    sigma: list[float],
    to_lab: bool,
    slic_zero: bool,
    enforce_connectivity: bool,
    min_size_factor: float,
    start_label: int,
    mask: Tensor | None,
    spacing: list[float],
    initial_centers: Tensor | None,
    spatial_dims: int,
) -> tuple[Tensor, Tensor]:
    if image.dim() != 2 + spatial_dims:
        raise ValueError(f"slic: image must have {2 + spatial_dims} dimensions, got {image.dim()}")
    labels = image.new_empty([image.shape[0], *image.shape[2:]], dtype=torch.int32)
    return labels, image.new_empty([image.shape[0]], dtype=torch.int64)
