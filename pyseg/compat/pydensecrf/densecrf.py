"""``pydensecrf.densecrf``: CRFs of any points, and of images. See :mod:`pyseg.compat.pydensecrf`."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pyseg._check import integer
from pyseg.compat.pydensecrf._pairwise import (
    Pairwise,
    bilateral_features,
    check_sigmas,
    gaussian_features,
    label_compatibility,
)
from pyseg.compat.pydensecrf._unary import ConstUnary, Floats, LogisticUnary, Unary, finite, matrix, softmax
from pyseg.ops.dense_crf import dense_crf

__all__ = [
    "CONST_KERNEL",
    "DIAG_KERNEL",
    "FULL_KERNEL",
    "NORMALIZE_AFTER",
    "NORMALIZE_BEFORE",
    "NORMALIZE_SYMMETRIC",
    "NO_NORMALIZATION",
    "ConstUnary",
    "DenseCRF",
    "DenseCRF2D",
    "KernelType",
    "LogisticUnary",
    "NormalizationType",
    "Unary",
]

_LEAST = 1e-20  # a belief in the logarithm is at least this


class KernelType(IntEnum):
    """How a kernel's features would be learned. Without effect on inference."""

    CONST_KERNEL = 0
    DIAG_KERNEL = 1
    FULL_KERNEL = 2


class NormalizationType(IntEnum):
    """Of a kernel K, with D the diagonal of its row sums: K, K D^-1, D^-1 K, D^(-1/2) K D^(-1/2)."""

    NO_NORMALIZATION = 0
    NORMALIZE_BEFORE = 1
    NORMALIZE_AFTER = 2
    NORMALIZE_SYMMETRIC = 3


CONST_KERNEL = KernelType.CONST_KERNEL
DIAG_KERNEL = KernelType.DIAG_KERNEL
FULL_KERNEL = KernelType.FULL_KERNEL
NO_NORMALIZATION = NormalizationType.NO_NORMALIZATION
NORMALIZE_BEFORE = NormalizationType.NORMALIZE_BEFORE
NORMALIZE_AFTER = NormalizationType.NORMALIZE_AFTER
NORMALIZE_SYMMETRIC = NormalizationType.NORMALIZE_SYMMETRIC

_NORMALIZATIONS = (None, "before", "after", "symmetric")


class DenseCRF:
    """A fully connected CRF of any points.

    Args:
        nvar: number of points.
        nlabels: number of labels.
    """

    def __init__(self, nvar: int, nlabels: int) -> None:
        self._nvar = integer("DenseCRF", "nvar", nvar, 1)
        self._nlabel = integer("DenseCRF", "nlabels", nlabels, 1)
        self._unary: Floats | None = None
        self._pairwise: list[Pairwise] = []

    # ---- the model

    def setUnary(self, u: Unary) -> None:
        """Energies as an object."""
        if not isinstance(u, Unary):
            raise TypeError(f"DenseCRF: setUnary takes a ConstUnary or LogisticUnary, got {type(u).__name__}")
        energy = u.get()
        if energy.shape != (self._nlabel, self._nvar):
            raise ValueError(
                f"Bad shape for unary energy (Need {(self._nlabel, self._nvar)}, got {tuple(energy.shape)})"
            )
        self._unary = finite(energy)

    def setUnaryEnergy(self, u: ArrayLike, f: ArrayLike | None = None) -> None:
        """Energies [nlabels, nvar], i.e. negative logarithms of probabilities; with ``f``, as :class:`LogisticUnary`.

        Infinity is a label that never is.

        Raises:
            ValueError: another shape, NaN, -infinity, a point of infinite energies only.
        """
        self.setUnary(ConstUnary(u) if f is None else LogisticUnary(u, f))

    def addPairwiseEnergy(
        self,
        features: ArrayLike,
        compat: Any,
        kernel: KernelType | int = DIAG_KERNEL,
        normalization: NormalizationType | int = NORMALIZE_SYMMETRIC,
    ) -> None:
        """A kernel exp(-|f_i - f_j|^2 / 2).

        Args:
            features: [d, nvar], 1 <= d <= 16.
            compat: what labels beside each other cost. A number w: -w where they are the same, so that positive ones
                smooth; [nlabels]: that for each label where they are the same, not negated; [nlabels, nlabels]: for
                each pair, not negated, made symmetric.
            kernel: without effect.
            normalization: one of this module's constants.
        """
        points = np.ascontiguousarray(matrix("features", features).T)
        if points.shape[0] != self._nvar:
            raise ValueError(f"Bad shape for pairwise energy (Need (?, {self._nvar}), got {points.shape[::-1]})")
        if not 1 <= points.shape[1] <= 16:
            raise ValueError(f"DenseCRF: features must have 1 .. 16 dimensions, got {points.shape[1]}")
        if not np.isfinite(points).all():
            raise ValueError("DenseCRF: features must be finite, got NaN or infinity")
        self._add(Pairwise(lambda: points), compat, kernel, normalization)

    def _add(self, pairwise: Pairwise, compat: Any, kernel: KernelType | int, how: NormalizationType | int) -> None:
        KernelType(kernel)
        pairwise.normalization = _NORMALIZATIONS[NormalizationType(how)]
        pairwise.weight, pairwise.compat = label_compatibility(compat, self._nlabel)
        self._pairwise.append(pairwise)

    # ---- inference

    def inference(self, niter: int | None = None, *, n_iterations: int | None = None) -> Floats:
        """Beliefs Q [nlabels, nvar] after ``niter`` steps (or, as pydensecrf's README has it, ``n_iterations``)."""
        if (niter is None) == (n_iterations is None):
            raise TypeError("DenseCRF: inference needs the number of iterations")
        steps = integer("DenseCRF", "niter", n_iterations if niter is None else niter, 0)
        energy = np.zeros((self._nlabel, self._nvar), np.float32) if self._unary is None else self._unary
        return self._infer(energy, steps)

    def _infer(self, energy: Floats, steps: int) -> Floats:
        features = [pairwise.as_features() for pairwise in self._pairwise]
        q = dense_crf(
            energy.T, gaussian=None, bilateral=None, features=features, normalization=None,
            unary_from="energy", n_iter=steps,
        )  # fmt: skip
        return np.ascontiguousarray(q.T)

    def startInference(self) -> tuple[Floats, Floats, Floats]:
        """Q [nlabels, nvar] of the unary energies alone (zeros where there are none), and two empty arrays."""
        empty = np.empty((0, 0), np.float32)
        if self._unary is None:
            return np.zeros((self._nlabel, self._nvar), np.float32), empty, empty.copy()
        return softmax(-self._unary), empty, empty.copy()

    def stepInference(self, Q: Floats, tmp1: Any = None, tmp2: Any = None) -> None:
        """One step, in place. ``tmp1`` and ``tmp2`` are not used."""
        self._check_beliefs(Q)
        if not Q.flags.writeable:
            raise ValueError("DenseCRF: Q must be writable, as from startInference")
        logits = np.zeros_like(Q) if self._unary is None else -self._unary
        for pairwise in self._pairwise:
            logits -= pairwise.energy(Q.T).T
        Q[...] = softmax(logits)

    def klDivergence(self, Q: Floats) -> float:
        """sum Q log Q + sum U Q + the pairwise energies of Q, as pydensecrf has it: without the 1/2 that these lack."""
        self._check_beliefs(Q)
        wide = Q.astype(np.float64)
        divergence = float((wide * np.log(np.maximum(wide, _LEAST))).sum())
        if self._unary is not None:
            divergence += float((self._unary * wide).sum())
        for pairwise in self._pairwise:
            divergence += float((wide.T * pairwise.energy(Q.T)).sum())
        return divergence

    def _check_beliefs(self, Q: Any) -> None:
        if not isinstance(Q, np.ndarray) or Q.dtype != np.float32:
            raise TypeError("DenseCRF: Q must be a float32 array, as from startInference")
        if Q.shape != (self._nlabel, self._nvar):
            raise ValueError(f"DenseCRF: Q must be {[self._nlabel, self._nvar]}, got {list(Q.shape)}")
        if not np.isfinite(Q).all():
            raise ValueError("DenseCRF: Q must be finite, got NaN or infinity")


class DenseCRF2D(DenseCRF):
    """A fully connected CRF of an image's pixels, which are points in raster order.

    Args:
        w: width.
        h: height.
        nlabels: number of labels.
    """

    def __init__(self, w: int, h: int, nlabels: int) -> None:
        self._w = integer("DenseCRF2D", "w", w, 1)
        self._h = integer("DenseCRF2D", "h", h, 1)
        super().__init__(self._w * self._h, nlabels)

    def addPairwiseGaussian(
        self,
        sxy: float | Sequence[float],
        compat: Any,
        kernel: KernelType | int = DIAG_KERNEL,
        normalization: NormalizationType | int = NORMALIZE_SYMMETRIC,
    ) -> None:
        """A kernel of where pixels are.

        Args:
            sxy: deviation in pixels: a number, or (x, y).
            compat, kernel, normalization: as of :meth:`addPairwiseEnergy`.
        """
        sigmas = check_sigmas("sxy", sxy, 2)
        pairwise = Pairwise(lambda: gaussian_features((self._h, self._w), sigmas), sxy=sigmas)
        self._add(pairwise, compat, kernel, normalization)

    def addPairwiseBilateral(
        self,
        sxy: float | Sequence[float],
        srgb: float | Sequence[float],
        rgbim: ArrayLike,
        compat: Any,
        kernel: KernelType | int = DIAG_KERNEL,
        normalization: NormalizationType | int = NORMALIZE_SYMMETRIC,
    ) -> None:
        """A kernel of where pixels are and of what colour.

        Args:
            sxy: deviation in pixels: a number, or (x, y).
            srgb: deviation of colours: a number, or one a channel.
            rgbim: uint8 [h, w, 3].
            compat, kernel, normalization: as of :meth:`addPairwiseEnergy`.
        """
        image = np.array(rgbim)
        if image.ndim != 3 or image.shape[:2] != (self._h, self._w):
            raise ValueError(f"Bad shape for pairwise bilateral (Need {(self._h, self._w, 3)}, got {image.shape})")
        if image.shape[2] != 3:
            raise ValueError(
                "addPairwiseBilateral only works for RGB images. For others, add the features of "
                "utils.create_pairwise_bilateral by addPairwiseEnergy."
            )
        if image.dtype != np.uint8:
            raise TypeError(f"DenseCRF2D: rgbim must be uint8, got {image.dtype}")
        places, colors = check_sigmas("sxy", sxy, 2), check_sigmas("srgb", srgb, 3)
        pairwise = Pairwise(lambda: bilateral_features(image, places, colors), sxy=places, srgb=colors, image=image)
        self._add(pairwise, compat, kernel, normalization)

    def _infer(self, energy: Floats, steps: int) -> Floats:
        """The first Gaussian and the first bilateral kernel as such, which is faster; others by their features."""
        gaussian = bilateral = image = None
        features = []
        for pairwise in self._pairwise:
            if pairwise.sxy is not None and pairwise.srgb is None and gaussian is None:
                gaussian = pairwise.as_gaussian()
            elif pairwise.srgb is not None and bilateral is None:
                bilateral, image = pairwise.as_bilateral(), pairwise.image
            else:
                features.append(pairwise.as_features())
        q = dense_crf(
            energy.reshape(self._nlabel, self._h, self._w), None if image is None else np.moveaxis(image, -1, 0),
            gaussian=gaussian, bilateral=bilateral, features=features, normalization=None, unary_from="energy",
            n_iter=steps, channel_axis=0,
        )  # fmt: skip
        result: Floats = np.ascontiguousarray(q).reshape(self._nlabel, self._nvar)
        return result
