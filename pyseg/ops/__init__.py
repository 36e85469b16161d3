"""The functional API: one module an op, each with its checks and the choice of library by the kind of array."""

from __future__ import annotations

from pyseg.ops.aspp import Branch, aspp
from pyseg.ops.atrous_conv import atrous_conv2d
from pyseg.ops.crf_kernels import Bilateral, Features, Gaussian
from pyseg.ops.deform_attention import deform_attention, deform_attention_fused, ms_deform_attn
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
from pyseg.ops.slic import slic, slic_batch
from pyseg.ops.superpixel_stats import SuperpixelStats, superpixel_stats
from pyseg.ops.turbopixels import turbopixels

__all__ = [
    "Bilateral",
    "Branch",
    "Features",
    "Gaussian",
    "PermutohedralLattice",
    "PoolIndices",
    "SuperpixelStats",
    "aspp",
    "atrous_conv2d",
    "batched_nms",
    "deform_attention",
    "deform_attention_fused",
    "dense_crf",
    "depthwise_conv2d",
    "felzenszwalb",
    "mask_bitmap",
    "masked_attention",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
    "ms_deform_attn",
    "nms",
    "paste_masks",
    "quickshift",
    "relpos_attention",
    "relpos_attention_qkv",
    "roi_align",
    "slic",
    "slic_batch",
    "superpixel_stats",
    "turbopixels",
]
