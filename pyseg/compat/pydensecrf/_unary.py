"""Unary energies of a dense CRF as pydensecrf's objects."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["ConstUnary", "Floats", "LogisticUnary", "Unary", "finite", "matrix", "softmax"]

Floats = NDArray[np.float32]

_NEVER = 1e4  # in place of an infinite energy, above the least of the point: beyond any exponential


def matrix(name: str, value: ArrayLike) -> Floats:
    """A copy, as float32 [rows, columns]."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"DenseCRF: {name} must be an array of numbers, got {array.dtype}")
    if array.ndim != 2:
        raise ValueError(f"DenseCRF: {name} must have 2 dimensions, got {list(array.shape)}")
    with np.errstate(over="ignore"):
        return np.array(array, np.float32, order="C")


class Unary:
    """Energies of labels [nlabels, nvar]."""

    def get(self) -> Floats:
        raise NotImplementedError


class ConstUnary(Unary):
    """Given energies.

    Args:
        u: [nlabels, nvar], negative logarithms of probabilities.
    """

    def __init__(self, u: ArrayLike) -> None:
        self._energy = matrix("u", u)

    def get(self) -> Floats:
        return self._energy


class LogisticUnary(Unary):
    """Energies that are linear in features: L f.

    Args:
        L: [nlabels, n].
        f: [n, nvar].
    """

    def __init__(self, L: ArrayLike, f: ArrayLike) -> None:
        weights, features = matrix("L", L), matrix("f", f)
        if weights.shape[1] != features.shape[0]:
            raise ValueError(
                f"DenseCRF: L must be [nlabels, n] and f [n, nvar], got {list(weights.shape)}, {list(features.shape)}"
            )
        self._energy = weights @ features

    def get(self) -> Floats:
        return self._energy


def finite(energy: Floats) -> Floats:
    """Energies without infinity: in its place, more than any exponential can tell from it."""
    if np.isnan(energy).any() or (energy == -np.inf).any():
        raise ValueError("DenseCRF: unary energies must be numbers > -infinity, got NaN or -infinity")
    never = energy == np.inf
    if not never.any():
        return energy
    if never.all(0).any():
        raise ValueError("DenseCRF: a point must have a label of finite energy, got infinity for all labels")
    return np.where(never, energy.min(0) + np.float32(_NEVER), energy)


def softmax(logits: Floats) -> Floats:
    e = np.exp(logits - logits.max(0))
    result: Floats = e / e.sum(0)
    return result
