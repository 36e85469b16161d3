"""The definition of each op in plain NumPy or torch: slow, obviously right, and what the tests compare to."""

from __future__ import annotations

from pyseg.reference import cut
from pyseg.reference.slic import slic
from pyseg.reference.superpixel_stats import superpixel_stats

__all__ = ["cut", "slic", "superpixel_stats"]
