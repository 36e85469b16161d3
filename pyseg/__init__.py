"""Fast C++ and CUDA kernels for image segmentation and pose estimation.

>>> import numpy as np, pyseg
>>> labels = pyseg.slic(np.zeros((64, 64, 3), np.uint8), n_segments=16)
>>> labels.shape, labels.dtype, int(labels.max())
((64, 64), dtype('int32'), 15)

Functions take NumPy, CuPy and torch arrays, and give back the kind they were given. torch is imported only where a
tensor comes in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyseg._runtime import __version__, get_num_threads, info, set_num_threads
from pyseg.errors import ImageReadError
from pyseg.interactive import Cutter, cut
from pyseg.ops.aspp import aspp
from pyseg.ops.atrous_conv import atrous_conv2d
from pyseg.ops.crf_kernels import Bilateral, Features, Gaussian
from pyseg.ops.deform_attention import deform_attention, deform_attention_fused
from pyseg.ops.dense_crf import dense_crf
from pyseg.ops.depthwise_conv import depthwise_conv2d
from pyseg.ops.felzenszwalb import felzenszwalb
from pyseg.ops.masked_attention import mask_bitmap, masked_attention
from pyseg.ops.max_unpool import (
    PoolIndices,
    max_pool1d,
    max_pool2d,
    max_pool3d,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)
from pyseg.ops.nms import batched_nms, nms
from pyseg.ops.paste_masks import paste_masks
from pyseg.ops.permutohedral import PermutohedralLattice
from pyseg.ops.quickshift import quickshift
from pyseg.ops.relpos_attention import relpos_attention, relpos_attention_qkv
from pyseg.ops.roi_align import roi_align
from pyseg.ops.slic import slic
from pyseg.ops.superpixel_stats import SuperpixelStats, superpixel_stats
from pyseg.ops.turbopixels import turbopixels

if TYPE_CHECKING:
    from pyseg import backends, compat, images, metrics, nn, ops, reference

__all__ = [
    "Bilateral",
    "Cutter",
    "Features",
    "Gaussian",
    "ImageReadError",
    "PermutohedralLattice",
    "PoolIndices",
    "SuperpixelStats",
    "__version__",
    "aspp",
    "atrous_conv2d",
    "backends",
    "batched_nms",
    "compat",
    "cut",
    "deform_attention",
    "deform_attention_fused",
    "dense_crf",
    "depthwise_conv2d",
    "felzenszwalb",
    "get_num_threads",
    "images",
    "info",
    "mask_bitmap",
    "masked_attention",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
    "metrics",
    "nms",
    "nn",
    "ops",
    "paste_masks",
    "patch",
    "quickshift",
    "reference",
    "relpos_attention",
    "relpos_attention_qkv",
    "roi_align",
    "set_num_threads",
    "slic",
    "superpixel_stats",
    "turbopixels",
    "unpatch",
]


def __getattr__(name: str) -> Any:
    if name in {"backends", "compat", "images", "metrics", "nn", "ops", "reference"}:
        import importlib

        return importlib.import_module(f"pyseg.{name}")
    if name in {"patch", "unpatch"}:  # torch is imported where they are wanted
        import importlib

        return getattr(importlib.import_module("pyseg.nn"), name)
    raise AttributeError(f"module 'pyseg' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
