"""pydensecrf's classes and functions, computed by pyseg. pydensecrf itself is not needed.

A program written for it runs with its imports changed:

>>> import numpy as np
>>> import pyseg.compat.pydensecrf.densecrf as dcrf  # instead of: import pydensecrf.densecrf as dcrf
>>> from pyseg.compat.pydensecrf.utils import unary_from_softmax  # instead of: from pydensecrf.utils import ...
>>> d = dcrf.DenseCRF2D(40, 30, 2)  # width, height, labels
>>> d.setUnaryEnergy(unary_from_softmax(np.full((2, 30, 40), 0.5)))
>>> d.addPairwiseGaussian(sxy=3, compat=3)
>>> np.array(d.inference(5)).shape
(2, 1200)

Beliefs agree with pydensecrf's to float32's rounding. What differs: arrays may have any floating-point type and
strides; results are NumPy arrays; input that made it crash or return NaN is an error in words; features may have 16
dimensions at most. Kernel types matter for learning only, which neither offers from Python here: see
:class:`pyseg.nn.DenseCRF`.
"""

from __future__ import annotations

from pyseg.compat.pydensecrf import densecrf, utils

__all__ = ["densecrf", "utils"]
