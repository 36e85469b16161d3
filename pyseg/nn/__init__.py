"""Layers that hold parameters."""

from __future__ import annotations

from pyseg.nn.dense_crf import DenseCRF
from pyseg.nn.roi_align import MultiScaleRoIAlign, RoIAlign

__all__ = ["DenseCRF", "MultiScaleRoIAlign", "RoIAlign"]
