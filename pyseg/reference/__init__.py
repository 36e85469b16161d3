"""The definition of each op in plain NumPy or torch: slow, obviously right, and what the tests compare to."""

from __future__ import annotations

from pyseg.reference import cut
from pyseg.reference.atrous_conv import atrous_conv2d
from pyseg.reference.deform_attention import deform_attention, deform_attention_fused
from pyseg.reference.dense_crf import dense_crf
from pyseg.reference.depthwise_conv import depthwise_conv2d, depthwise_conv2d_gradients
from pyseg.reference.felzenszwalb import felzenszwalb
from pyseg.reference.masked_attention import masked_attention
from pyseg.reference.max_unpool import max_pool, max_unpool
from pyseg.reference.nms import batched_nms, nms
from pyseg.reference.paste_masks import paste_masks
from pyseg.reference.permutohedral import BruteForce, PermutohedralLattice
from pyseg.reference.quickshift import quickshift
from pyseg.reference.relpos_attention import relpos_attention
from pyseg.reference.roi_align import roi_align, roi_align_backward
from pyseg.reference.slic import slic
from pyseg.reference.superpixel_stats import superpixel_stats
from pyseg.reference.turbopixels import turbopixels

__all__ = [
    "BruteForce",
    "PermutohedralLattice",
    "atrous_conv2d",
    "batched_nms",
    "cut",
    "deform_attention",
    "deform_attention_fused",
    "dense_crf",
    "depthwise_conv2d",
    "depthwise_conv2d_gradients",
    "felzenszwalb",
    "masked_attention",
    "max_pool",
    "max_unpool",
    "nms",
    "paste_masks",
    "quickshift",
    "relpos_attention",
    "roi_align",
    "roi_align_backward",
    "slic",
    "superpixel_stats",
    "turbopixels",
]
