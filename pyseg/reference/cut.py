"""What a cut computes over superpixels, in plain NumPy: the definition of ``cpp/cut``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["color_ratio", "diffuse", "weights"]

Floats = NDArray[np.float64]


def weights(
    mean_lab: Floats, edges: NDArray[np.int32], boundary: NDArray[np.int64], sigma: float, leak: float
) -> Floats:
    """[e]: boundary length, relative to the mean, times (exp(-d^2 / 2 sigma^2) + leak), d the distance in CIELAB."""
    d2 = ((mean_lab[edges[:, 0]] - mean_lab[edges[:, 1]]) ** 2).sum(1)
    result: Floats = boundary / boundary.mean() * (np.exp(-d2 / (2 * sigma**2)) + leak)
    return result


def diffuse(
    weight: Floats, edges: NDArray[np.int32], area: Floats, pull: Floats, target: Floats, seed: NDArray[np.int8]
) -> Floats:
    """x [n] that minimises sum w_ij (x_i - x_j)^2 + sum a_i p_i (x_i - t_i)^2 with x = seed where seed >= 0.

    a: the area relative to its mean. Random walks with priors: Grady, CVPR 2005, section 2.
    """
    n = len(area)
    system = np.diag(pull * area / area.mean())
    right = pull * area / area.mean() * target
    for (i, j), w in zip(edges, weight, strict=True):
        system[i, i] += w
        system[j, j] += w
        system[i, j] -= w
        system[j, i] -= w
    x = np.where(seed >= 0, seed, 0).astype(np.float64)
    free = np.flatnonzero(seed < 0)
    given = np.setdiff1d(np.arange(n), free)
    if len(free):
        x[free] = np.linalg.solve(system[np.ix_(free, free)], right[free] - system[np.ix_(free, given)] @ x[given])
    return x


def color_ratio(mean_lab: Floats, inside: Floats, outside: Floats, least: float) -> Floats:
    """log((f + least) / (b + least)) [n], f and b the densities at a superpixel's colour under the two weightings.

    A density is a histogram over CIELAB in cells of 4 units from the least of each coordinate, as shares of the sum,
    blurred by a Gaussian of 1.5 cells that ends after 5; here as a sum over all pairs of superpixels.
    """
    cell = np.floor((mean_lab - mean_lab.min(0)) / 4 + 0.5)
    taps = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    kernel = np.ones((len(cell), len(cell)))
    for axis in cell.T:
        far = np.abs(axis[:, None] - axis[None, :])
        kernel *= np.where(far <= 5, np.exp(-(far**2) / (2 * 1.5**2)) / taps.sum(), 0)
    f, b = (kernel @ w / max(w.sum(), 1e-300) for w in (inside, outside))
    result: Floats = np.log((f + least) / (b + least))
    return result
