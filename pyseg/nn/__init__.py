"""Layers that hold parameters."""

from __future__ import annotations

from pyseg.nn.aspp import ASPP
from pyseg.nn.atrous_conv import AtrousConv2d, SeparableAtrousConv2d
from pyseg.nn.dense_crf import DenseCRF
from pyseg.nn.masked_cross_attention import MaskedCrossAttention
from pyseg.nn.patching import PatchReport, Replacement, patch, unpatch

__all__ = [
    "ASPP",
    "AtrousConv2d",
    "DenseCRF",
    "MaskedCrossAttention",
    "PatchReport",
    "Replacement",
    "SeparableAtrousConv2d",
    "patch",
    "unpatch",
]
