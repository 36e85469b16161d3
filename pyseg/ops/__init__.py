"""The functional API: one module an op, each with its checks and the choice of library by the kind of array."""

from __future__ import annotations

from pyseg.ops.aspp import Branch, aspp
from pyseg.ops.atrous_conv import atrous_conv2d
from pyseg.ops.crf_kernels import Bilateral, Features, Gaussian
from pyseg.ops.dense_crf import dense_crf
from pyseg.ops.felzenszwalb import felzenszwalb
from pyseg.ops.masked_attention import mask_bitmap, masked_attention
from pyseg.ops.permutohedral import PermutohedralLattice
from pyseg.ops.quickshift import quickshift
from pyseg.ops.slic import slic, slic_batch
from pyseg.ops.superpixel_stats import SuperpixelStats, superpixel_stats
from pyseg.ops.turbopixels import turbopixels

__all__ = [
    "Bilateral",
    "Branch",
    "Features",
    "Gaussian",
    "PermutohedralLattice",
    "SuperpixelStats",
    "aspp",
    "atrous_conv2d",
    "dense_crf",
    "felzenszwalb",
    "mask_bitmap",
    "masked_attention",
    "quickshift",
    "slic",
    "slic_batch",
    "superpixel_stats",
    "turbopixels",
]
