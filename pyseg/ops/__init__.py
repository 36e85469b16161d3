"""The functional API: one module an op, each with its checks and the choice of library by the kind of array."""

from __future__ import annotations

from pyseg.ops.crf_kernels import Bilateral, Features, Gaussian
from pyseg.ops.dense_crf import dense_crf
from pyseg.ops.felzenszwalb import felzenszwalb
from pyseg.ops.max_unpool import (
    PoolIndices,
    max_pool1d,
    max_pool2d,
    max_pool3d,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)
from pyseg.ops.permutohedral import PermutohedralLattice
from pyseg.ops.quickshift import quickshift
from pyseg.ops.slic import slic, slic_batch
from pyseg.ops.superpixel_stats import SuperpixelStats, superpixel_stats
from pyseg.ops.turbopixels import turbopixels

__all__ = [
    "Bilateral",
    "Features",
    "Gaussian",
    "PermutohedralLattice",
    "PoolIndices",
    "SuperpixelStats",
    "dense_crf",
    "felzenszwalb",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
    "quickshift",
    "slic",
    "slic_batch",
    "superpixel_stats",
    "turbopixels",
]
