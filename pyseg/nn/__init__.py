"""Layers, drop-in twins of torch.nn's where it has them."""

from __future__ import annotations

from pyseg.nn.aspp import ASPP
from pyseg.nn.atrous_conv import AtrousConv2d, SeparableAtrousConv2d
from pyseg.nn.dense_crf import DenseCRF
from pyseg.nn.masked_cross_attention import MaskedCrossAttention
from pyseg.nn.max_unpool import MaxPool1d, MaxPool2d, MaxPool3d, MaxUnpool1d, MaxUnpool2d, MaxUnpool3d
from pyseg.nn.ms_deform_attn import MSDeformAttn
from pyseg.nn.patching import PatchReport, Replacement, patch, unpatch
from pyseg.nn.relpos_attention import RelPosAttention
from pyseg.nn.roi_align import MultiScaleRoIAlign, RoIAlign

__all__ = [
    "ASPP",
    "AtrousConv2d",
    "DenseCRF",
    "MSDeformAttn",
    "MaskedCrossAttention",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
    "MultiScaleRoIAlign",
    "PatchReport",
    "RelPosAttention",
    "Replacement",
    "RoIAlign",
    "SeparableAtrousConv2d",
    "patch",
    "unpatch",
]
