"""The definition of ``pyseg.dense_crf`` in plain torch: slow, and differentiable in everything that is a float.

Mean field in a fully connected CRF with Gaussian edges: Krähenbühl & Koltun, "Efficient Inference in Fully Connected
CRFs with Gaussian Edge Potentials", NIPS 2011. N points have one of K labels each, at the energy

    E(x) = sum_i U_i(x_i) + 1/2 sum_m sum_ij K^m_ij mu^m(x_i, x_j),

where each kernel K^m is a normalised Gaussian of the points' features, self included, and mu^m(a, b) says what label a
beside label b costs. Beliefs Q [N, K] that are independent from point to point start at softmax(-U), and

    Q <- softmax(-U - sum_m mu^m(K^m Q)),

all points at once, ``n_iter`` times. A kernel is a :class:`~pyseg.reference.PermutohedralLattice`, which is what
``pyseg.dense_crf`` computes, or a :class:`~pyseg.reference.BruteForce`, which is what it approximates.

Compatibilities mu are those of Krähenbühl's library, signs included:

* None, Potts: -weight x. Labels that agree gain, so a positive weight smooths;
* a vector w [K]: weight w (.) x, so that it smooths where w is negative;
* a matrix W [K, K]: weight (W + W^T) / 2 x, W[a, b] being the cost of a beside b.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyseg.reference.permutohedral import BruteForce, PermutohedralLattice

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "Kernel",
    "bilateral_features",
    "dense_crf",
    "gaussian_features",
    "kl_divergence",
    "pairwise_energy",
    "step",
    "unary_energy",
]

_LEAST = 1e-20  # a belief in the logarithm is at least this


@dataclass(frozen=True)
class Kernel:
    """One pairwise term.

    Attributes:
        filter: of its points' features, of what K says of them.
        weight: factor of the term.
        compat: None, [K] or [K, K], see this module's description.
        normalization: None, "symmetric", "before" or "after", see ``filter``.
    """

    filter: PermutohedralLattice | BruteForce
    weight: Any = 1.0
    compat: Any = None
    normalization: str | None = "symmetric"

    def energy(self, q: Tensor) -> Tensor:
        """What each label costs at each point beside beliefs q: [N, K] to [N, K]."""
        import torch

        x = self.filter.filter(q, self.normalization)
        weight = torch.as_tensor(self.weight, dtype=q.dtype)
        if self.compat is None:
            return -weight * x
        compat = torch.as_tensor(self.compat, dtype=q.dtype)
        if compat.ndim == 1:
            return weight * (x * compat)
        return weight * (x @ ((compat + compat.T) / 2))


def gaussian_features(shape: Sequence[int], sxy: Any, dtype: Any = None) -> Tensor:
    """Where the points are: features of a kernel that knows no colour.

    Args:
        shape: (H, W), or of any other number of axes.
        sxy: the Gaussian's deviation in pixels, one for each column of the result, or one for all.
        dtype: of the result; None: float64.

    Returns:
        [H * W, 2], columns (x, y), or for other numbers of axes [N, axes] in the order of axes (z, y, x): the orders of
        pydensecrf, and of its functions for volumes. On the lattice order matters, if little.
    """
    import torch

    axes = [torch.arange(size, dtype=dtype or torch.float64) for size in shape]
    grids = torch.meshgrid(*axes, indexing="ij")
    places = torch.stack([grid.reshape(-1) for grid in (grids[::-1] if len(shape) == 2 else grids)], 1)
    return places / torch.as_tensor(sxy, dtype=places.dtype)


def bilateral_features(image: Any, sxy: Any, srgb: Any, dtype: Any = None) -> Tensor:
    """Where the points are and of what colour.

    Args:
        image: [H, W, C], or of any other number of spatial axes, channels last.
        sxy: as of :func:`gaussian_features`.
        srgb: deviation in colour, in the image's units; one a channel, or one for all.
        dtype: as of :func:`gaussian_features`.

    Returns:
        [N, axes + C]: the columns of :func:`gaussian_features`, then the channels.
    """
    import torch

    image = torch.as_tensor(image)
    places = gaussian_features(image.shape[:-1], sxy, dtype)
    colors = image.reshape(len(places), -1).to(places.dtype) / torch.as_tensor(srgb, dtype=places.dtype)
    return torch.cat([places, colors], 1)


def step(q: Tensor, unary: Tensor, kernels: Sequence[Kernel]) -> Tensor:
    """One update of all beliefs at once: [N, K] to [N, K]."""
    energy = unary
    for kernel in kernels:
        energy = energy + kernel.energy(q)
    return (-energy).softmax(1)


def dense_crf(unary: Any, kernels: Sequence[Kernel] = (), n_iter: int = 10) -> Tensor:
    """Mean-field beliefs.

    Args:
        unary: [N, K] energies, i.e. negative logarithms of probabilities, up to a constant for each point.
        kernels: pairwise terms over the same N points, in the same dtype.
        n_iter: updates. 0: softmax(-unary).

    Returns:
        Q [N, K], rows sum to 1; dtype of ``unary``.
    """
    import torch

    unary = torch.as_tensor(unary)
    q: Tensor = (-unary).softmax(1)
    for _ in range(n_iter):
        q = step(q, unary, kernels)
    return q


def kl_divergence(q: Any, unary: Any, kernels: Sequence[Kernel]) -> Tensor:
    """sum Q log Q + sum U Q + sum_m sum Q mu^m(K^m Q), as Krähenbühl's library reports it: pairwise terms count twice.

    Up to a constant, and but for that missing 1/2, the divergence of Q from the CRF's distribution.
    """
    import torch

    q, unary = torch.as_tensor(q), torch.as_tensor(unary)
    divergence: Tensor = (q * q.clamp(min=_LEAST).log()).sum() + (unary * q).sum()
    for kernel in kernels:
        divergence = divergence + (q * kernel.energy(q)).sum()
    return divergence


def unary_energy(labels: Any, unary: Any) -> Tensor:
    """U_i(x_i): [N]. A label that is none of 0 .. K - 1 costs 0."""
    import torch

    labels, unary = torch.as_tensor(labels), torch.as_tensor(unary)
    inside = (labels >= 0) & (labels < unary.shape[1])
    energy: Tensor = unary.gather(1, torch.where(inside, labels, 0)[:, None])[:, 0] * inside
    return energy


def pairwise_energy(labels: Any, kernels: Sequence[Kernel], n_labels: int) -> Tensor:
    """1/2 sum_m sum_j K^m_ij mu^m(x_i, x_j): [N]. A label that is none of 0 .. n_labels - 1 costs nothing and nobody.

    (Krähenbühl's library gives minus this.)
    """
    import torch

    labels = torch.as_tensor(labels)
    one_hot = (labels[:, None] == torch.arange(n_labels)).to(kernels[0].filter.dtype if kernels else torch.float64)
    energy: Tensor = one_hot.new_zeros(len(one_hot))
    for kernel in kernels:
        energy = energy + (one_hot * kernel.energy(one_hot)).sum(1) / 2
    return energy
