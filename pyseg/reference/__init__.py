"""The definition of each op in plain NumPy or torch: slow, obviously right, and what the tests compare to."""

from __future__ import annotations

from pyseg.reference import cut
from pyseg.reference.atrous_conv import atrous_conv2d
from pyseg.reference.dense_crf import dense_crf
from pyseg.reference.felzenszwalb import felzenszwalb
from pyseg.reference.masked_attention import masked_attention
from pyseg.reference.permutohedral import BruteForce, PermutohedralLattice
from pyseg.reference.quickshift import quickshift
from pyseg.reference.slic import slic
from pyseg.reference.superpixel_stats import superpixel_stats
from pyseg.reference.turbopixels import turbopixels

__all__ = [
    "BruteForce",
    "PermutohedralLattice",
    "atrous_conv2d",
    "cut",
    "dense_crf",
    "felzenszwalb",
    "masked_attention",
    "quickshift",
    "slic",
    "superpixel_stats",
    "turbopixels",
]
