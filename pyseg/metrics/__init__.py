"""Measures of quality: plain NumPy, for NumPy, CuPy and torch arrays alike; each is a Python float."""

from pyseg.metrics.superpixels import (
    achievable_segmentation_accuracy,
    boundary_recall,
    compactness,
    explained_variation,
    undersegmentation_error,
)

__all__ = [
    "achievable_segmentation_accuracy",
    "boundary_recall",
    "compactness",
    "explained_variation",
    "undersegmentation_error",
]
