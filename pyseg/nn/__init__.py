"""Layers that hold parameters."""

from __future__ import annotations

from pyseg.nn.dense_crf import DenseCRF

__all__ = ["DenseCRF"]
