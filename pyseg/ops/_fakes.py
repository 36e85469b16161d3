"""Fake kernels: what torch.compile and torch.export need to know of an op's result. Imported with the library."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.library.register_fake("pyseg::quickshift")  # type: ignore[untyped-decorator]
def _quickshift(
    image: Tensor,
    ratio: float,
    kernel_size: float,
    max_dist: float,
    sigma: float,
    to_lab: bool,
    start_label: int,
    noise: Tensor | None,
    tree: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    if image.dim() != 4:
        raise ValueError(f"quickshift: image must have 4 dimensions, got {image.dim()}")
    batch, _, height, width = image.shape
    shape = [batch, height, width] if tree else [batch, 0, 0]
    labels = image.new_empty([batch, height, width], dtype=torch.int32)
    count = image.new_empty([batch], dtype=torch.int64)
    return labels, count, image.new_empty(shape, dtype=torch.int64), image.new_empty(shape, dtype=torch.float32)


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


@torch.library.register_fake("pyseg::turbopixels")  # type: ignore[untyped-decorator]
def _turbopixels(
    image: Tensor,
    n_segments: int,
    alpha: float,
    beta: float,
    nu: float,
    gamma: float,
    sigma: float,
    max_iter: int,
    enforce_connectivity: bool,
    start_label: int,
) -> tuple[Tensor, Tensor]:
    if image.dim() != 4:
        raise ValueError(f"turbopixels: image must have 4 dimensions, got {image.dim()}")
    labels = image.new_empty([image.shape[0], *image.shape[2:]], dtype=torch.int32)
    return labels, image.new_empty([image.shape[0]], dtype=torch.int64)
