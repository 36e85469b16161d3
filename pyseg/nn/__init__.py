"""Layers, drop-in twins of torch.nn's where it has them."""

from __future__ import annotations

from pyseg.nn.dense_crf import DenseCRF
from pyseg.nn.max_unpool import MaxPool1d, MaxPool2d, MaxPool3d, MaxUnpool1d, MaxUnpool2d, MaxUnpool3d

__all__ = ["DenseCRF", "MaxPool1d", "MaxPool2d", "MaxPool3d", "MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d"]
