"""Layers that hold parameters."""

from __future__ import annotations

from pyseg.nn.aspp import ASPP
from pyseg.nn.atrous_conv import AtrousConv2d, SeparableAtrousConv2d
from pyseg.nn.dense_crf import DenseCRF

__all__ = ["ASPP", "AtrousConv2d", "DenseCRF", "SeparableAtrousConv2d"]
