"""How far the dense CRF is from the sums it approximates; pydensecrf, which has the same lattice, is no nearer.

On 64x64 pixels of a photograph, against the exact Gaussian by brute force in float64.
"""

import numpy as np
import pytest
import samples
import torch
from crf_problems import NORMALIZATIONS, Problem, by_pyseg, by_reference

import pyseg
from pyseg.reference import BruteForce
from pyseg.reference import PermutohedralLattice as Reference
from pyseg.reference.dense_crf import bilateral_features, gaussian_features

SIDE = 64
KERNELS = {
    "gaussian 3": {"kind": "gaussian", "sxy": 3.0},
    "bilateral 80 13": {"kind": "bilateral", "sxy": 80.0, "srgb": 13.0},
    "bilateral 20 30": {"kind": "bilateral", "sxy": 20.0, "srgb": 30.0},
}

# pydensecrf's relative RMS error of a filter; and of the mean field, RMS error of Q after 5 steps. Measured by
# test_the_constants_are_pydensecrfs.
FILTER = {
    ("gaussian 3", None): 0.121555,
    ("gaussian 3", "symmetric"): 0.009047,
    ("gaussian 3", "before"): 0.013337,
    ("gaussian 3", "after"): 0.006329,
    ("bilateral 80 13", None): 0.468899,
    ("bilateral 80 13", "symmetric"): 0.022660,
    ("bilateral 80 13", "before"): 0.043625,
    ("bilateral 80 13", "after"): 0.004478,
    ("bilateral 20 30", None): 0.435079,
    ("bilateral 20 30", "symmetric"): 0.031022,
    ("bilateral 20 30", "before"): 0.057479,
    ("bilateral 20 30", "after"): 0.008284,
}
MEAN_FIELD = {
    ("gaussian 3", None): 0.009861,
    ("gaussian 3", "symmetric"): 0.008373,
    ("gaussian 3", "before"): 0.007004,
    ("gaussian 3", "after"): 0.010263,
    ("bilateral 80 13", None): 0.109373,
    ("bilateral 80 13", "symmetric"): 0.013638,
    ("bilateral 80 13", "before"): 0.012109,
    ("bilateral 80 13", "after"): 0.015419,
    ("bilateral 20 30", None): 0.087679,
    ("bilateral 20 30", "symmetric"): 0.032026,
    ("bilateral 20 30", "before"): 0.027178,
    ("bilateral 20 30", "after"): 0.024354,
}


def picture():
    return samples.image("photo", (SIDE, SIDE))


def features(kernel, dtype=torch.float64):
    if kernel["kind"] == "gaussian":
        return gaussian_features((SIDE, SIDE), kernel["sxy"], dtype).numpy()
    return bilateral_features(picture(), kernel["sxy"], kernel["srgb"], dtype).numpy()


def values():
    """[N, 4] in [0, 1): the photograph's channels, and noise."""
    noise = np.random.default_rng(0).random((SIDE * SIDE, 1))
    return np.concatenate([picture().reshape(-1, 3) / 256, noise], 1)


def problem(kernel, normalization):
    unary = np.random.default_rng(1).random((SIDE, SIDE, 3)).astype(np.float32) * 2
    unary += np.abs(picture()[..., :1] / 255 - np.array([0.1, 0.5, 0.9])).astype(np.float32) * 3
    weight = 5.0 if normalization is not None else 0.02  # raw sums are in the hundreds
    return Problem(unary, picture(), [{**kernel, "weight": weight, "normalization": normalization}], 5)


def relative_rms(out, exact):
    return float(np.sqrt(np.mean((np.asarray(out, np.float64) - exact) ** 2) / np.mean(exact**2)))


def rms(q, exact):
    return float(np.sqrt(np.mean((np.asarray(q, np.float64) - exact) ** 2)))


@pytest.fixture(scope="module")
def exact_filters():
    exact = {name: BruteForce(features(kernel)) for name, kernel in KERNELS.items()}
    return {
        (name, normalization): exact[name].filter(values(), normalization).numpy()
        for name in KERNELS
        for normalization in NORMALIZATIONS
    }


@pytest.fixture(scope="module")
def exact_beliefs():
    return {
        (name, normalization): by_reference(problem(kernel, normalization), torch.float64, exact=True).numpy()
        for name, kernel in KERNELS.items()
        for normalization in NORMALIZATIONS
    }


each = pytest.mark.parametrize(("name", "normalization"), [(k, n) for k in KERNELS for n in NORMALIZATIONS])


# ---- pydensecrf


def their_crf(kernel, normalization, classes, weight=None, compat=None):
    dcrf = pytest.importorskip("pydensecrf.densecrf")
    how = {
        None: dcrf.NO_NORMALIZATION,
        "before": dcrf.NORMALIZE_BEFORE,
        "after": dcrf.NORMALIZE_AFTER,
        "symmetric": dcrf.NORMALIZE_SYMMETRIC,
    }[normalization]
    crf = dcrf.DenseCRF2D(SIDE, SIDE, classes)
    if kernel["kind"] == "gaussian":
        crf.addPairwiseGaussian(kernel["sxy"], weight if compat is None else compat, normalization=how)
    else:
        crf.addPairwiseBilateral(
            kernel["sxy"], kernel["srgb"], picture(), weight if compat is None else compat, normalization=how
        )
    return crf


def their_filter(kernel, normalization, values, scale):
    """It has no filter to call: a step where only the first of two labels costs anything shows what it filters."""
    crf = their_crf(kernel, normalization, 2, compat=np.array([scale, 0], np.float32))
    crf.setUnaryEnergy(np.zeros((2, SIDE * SIDE), np.float32))
    out = []
    for column in values.T:
        q, a, b = crf.startInference()
        np.asarray(q)[0] = column
        crf.stepInference(q, a, b)
        log = np.log(np.array(q, np.float64))
        out.append((log[1] - log[0]) / scale)
    return np.stack(out, 1)


def their_beliefs(kernel, normalization):
    mine = problem(kernel, normalization)
    crf = their_crf(kernel, normalization, 3, weight=mine.kernels[0]["weight"])
    crf.setUnaryEnergy(np.ascontiguousarray(mine.unary.reshape(-1, 3).T))
    return np.array(crf.inference(mine.n_iter)).T.reshape(SIDE, SIDE, 3)


@each
def test_the_constants_are_pydensecrfs(name, normalization, exact_filters, exact_beliefs):
    kernel = KERNELS[name]
    exact = exact_filters[name, normalization]
    theirs = their_filter(kernel, normalization, values(), scale=float(8 / exact.max()))
    error = relative_rms(theirs, exact)
    assert error == pytest.approx(FILTER[name, normalization], rel=2e-3)
    error = rms(their_beliefs(kernel, normalization), exact_beliefs[name, normalization])
    assert error == pytest.approx(MEAN_FIELD[name, normalization], rel=2e-3, abs=2e-6)


# ---- ours


@pytest.mark.parametrize(
    "Lattice",
    [
        pytest.param(pyseg.PermutohedralLattice, id="library"),
        pytest.param(Reference, id="reference"),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@each
def test_filters_are_no_further_than_pydensecrfs(Lattice, dtype, name, normalization, exact_filters):
    kernel = KERNELS[name]
    lattice = Lattice(features(kernel, getattr(torch, dtype)))
    out = lattice.filter(values().astype(dtype), normalization=normalization)
    assert relative_rms(out, exact_filters[name, normalization]) <= FILTER[name, normalization] * 1.002


@pytest.mark.parametrize("solve", [pytest.param(by_pyseg, id="library"), pytest.param(by_reference, id="reference")])
@each
def test_beliefs_are_no_further_than_pydensecrfs(solve, name, normalization, exact_beliefs):
    q = solve(problem(KERNELS[name], normalization))
    assert rms(q, exact_beliefs[name, normalization]) <= MEAN_FIELD[name, normalization] * 1.002 + 2e-6
