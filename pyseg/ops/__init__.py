"""The functional API: one module an op, each with its checks and the choice of library by the kind of array."""

from __future__ import annotations

from pyseg.ops.slic import slic, slic_batch
from pyseg.ops.superpixel_stats import SuperpixelStats, superpixel_stats
from pyseg.ops.turbopixels import turbopixels

__all__ = ["SuperpixelStats", "slic", "slic_batch", "superpixel_stats", "turbopixels"]
