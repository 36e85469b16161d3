"""Other libraries' functions under their own signatures, computed by pyseg: one module a library, of its name."""

from __future__ import annotations

from pyseg.compat import pydensecrf, skimage

__all__ = ["pydensecrf", "skimage"]
