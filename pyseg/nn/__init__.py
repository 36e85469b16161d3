"""Layers that hold parameters."""

from __future__ import annotations

from pyseg.nn.dense_crf import DenseCRF
from pyseg.nn.ms_deform_attn import MSDeformAttn

__all__ = ["DenseCRF", "MSDeformAttn"]
