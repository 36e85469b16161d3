"""The functional API: one module an op, each with its checks and the choice of library by the kind of array."""

from __future__ import annotations

from pyseg.ops.felzenszwalb import felzenszwalb
from pyseg.ops.slic import slic, slic_batch
from pyseg.ops.superpixel_stats import SuperpixelStats, superpixel_stats

__all__ = ["SuperpixelStats", "felzenszwalb", "slic", "slic_batch", "superpixel_stats"]
