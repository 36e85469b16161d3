"""Cutting an object out of a photograph by a box, clicks, strokes or a contour, without any network."""

from pyseg.interactive.cutter import Cutter, cut

__all__ = ["Cutter", "cut"]
