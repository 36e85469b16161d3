"""The dense CRF as the last layer of a network (Zheng et al., "Conditional Random Fields as Recurrent Neural Networks",
ICCV 2015)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pyseg.ops.crf_kernels import Bilateral, Gaussian
from pyseg.ops.dense_crf import dense_crf

__all__ = ["DenseCRF"]


class DenseCRF(nn.Module):
    """Mean field of a dense CRF with learnable compatibility, kernel weights and standard deviations.

    It begins as the Potts model: ``compat`` = -1 on the diagonal, so that output equals :func:`pyseg.dense_crf`'s with
    its defaults.

    Args:
        n_classes: K.
        n_iter: steps of the mean field.
        sxy_gaussian, sxy_bilateral, srgb: initial standard deviations, in pixels and in the image's own units.
        weight_gaussian, weight_bilateral: initial weights of the kernels.
        normalization: "symmetric", "before", "after" or None.
        unary_from: what comes in: "logits" (a network's scores), "probs" or "energy".
        learn: which of "compat", "weights", "sigmas" (by their logarithm) are trained; compat and weights are buffers
            otherwise.

    Shape:
        scores [B, K, H, W] (or [B, K, D, H, W]) and image [B, C, H, W], uint8 or floating point -> Q as the scores.

    Raises:
        ValueError, TypeError: as :func:`pyseg.dense_crf`; a ``learn`` that is none of the three.
    """

    compat: Tensor
    weights: Tensor

    def __init__(
        self,
        n_classes: int,
        *,
        n_iter: int = 10,
        sxy_gaussian: float = 3.0,
        sxy_bilateral: float = 80.0,
        srgb: float = 13.0,
        weight_gaussian: float = 3.0,
        weight_bilateral: float = 10.0,
        normalization: str | None = "symmetric",
        unary_from: str = "logits",
        learn: Sequence[str] = ("compat", "weights"),
    ) -> None:
        super().__init__()
        if n_classes < 1:
            raise ValueError(f"DenseCRF: n_classes must be >= 1, got {n_classes}")
        if unknown := set(learn) - {"compat", "weights", "sigmas"}:
            raise ValueError(f"DenseCRF: learn must be of 'compat', 'weights' and 'sigmas', got {sorted(unknown)}")
        self.n_classes, self.n_iter = n_classes, n_iter
        self.normalization, self.unary_from = normalization, unary_from
        self._hold("compat", -torch.eye(n_classes), "compat" in learn)
        self._hold("weights", torch.tensor([float(weight_gaussian), float(weight_bilateral)]), "weights" in learn)
        self.sigmas = (float(sxy_gaussian), float(sxy_bilateral), float(srgb))
        if min(self.sigmas) <= 0:
            raise ValueError(f"DenseCRF: standard deviations must be > 0, got {self.sigmas}")
        self.log_sigmas = nn.Parameter(torch.tensor(self.sigmas).log()) if "sigmas" in learn else None

    def _hold(self, name: str, value: Tensor, learned: bool) -> None:
        if learned:
            self.register_parameter(name, nn.Parameter(value))
        else:
            self.register_buffer(name, value)

    def forward(self, scores: Tensor, image: Tensor) -> Tensor:
        """Q [B, K, H, W]."""
        if scores.dim() not in (4, 5) or scores.shape[1] != self.n_classes:
            raise ValueError(
                f"DenseCRF: scores must be [B, {self.n_classes}, H, W] or [B, {self.n_classes}, D, H, W], "
                f"got {list(scores.shape)}"
            )
        gaussian, bilateral, color = self.sigmas if self.log_sigmas is None else self.log_sigmas.exp()
        return dense_crf(  # type: ignore[no-any-return]
            scores,
            image,
            n_iter=self.n_iter,
            gaussian=Gaussian(gaussian, self.weights[0]),
            bilateral=Bilateral(bilateral, color, self.weights[1]),
            compat=self.compat,
            normalization=self.normalization,
            unary_from=self.unary_from,
        )

    def extra_repr(self) -> str:
        return f"n_classes={self.n_classes}, n_iter={self.n_iter}, unary_from={self.unary_from!r}"
