"""PermutohedralLattice is its definition: on a table of points, and on anything."""

import numpy as np
import pytest
import torch
from crf_problems import NORMALIZATIONS
from hypothesis import given, settings
from hypothesis import strategies as st

import pyseg
from pyseg.reference import PermutohedralLattice as Reference


def points(kind, n, d, seed):
    """[n, d]"""
    rng = np.random.default_rng(seed)
    if kind == "normal":
        return rng.normal(0, 2, (n, d))
    if kind == "sparse":  # few vertices have neighbours
        return rng.normal(0, 40, (n, d))
    if kind == "dense":
        return rng.uniform(0, 1, (n, d))
    if kind == "equal":
        return np.tile(rng.normal(0, 3, d), (n, 1))
    if kind == "grid":  # many points on the border of two simplices
        return rng.integers(0, 4, (n, d)) * 0.5
    if kind == "line":
        return np.arange(n)[:, None] * rng.normal(0, 0.1, d)
    assert kind == "far"
    return rng.normal(0, 2, (n, d)) + rng.normal(0, 300, d)


KINDS = ("normal", "sparse", "dense", "equal", "grid", "line", "far")


def check(features, values, normalization=None, transpose=False):
    """Against the definition's lattice in the features' type, with sums in float64."""
    lattice, reference = pyseg.PermutohedralLattice(features), Reference(features)
    assert lattice.n_vertices == reference.n_vertices
    reference.weights, reference.dtype = reference.weights.double(), torch.float64
    out = lattice.filter(values, normalization=normalization, transpose=transpose)
    expected = reference.filter(values, normalization, transpose).numpy()
    assert out.shape == values.shape
    assert out.dtype == features.dtype
    scale = float(reference.filter(np.abs(values), normalization, transpose).max())  # of what may cancel
    np.testing.assert_allclose(out, expected, atol=(5e-6 if features.dtype == np.float32 else 1e-13) * scale, rtol=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("d", [1, 2, 3, 4, 5, 6, 8, 11, 16])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_definition(kind, d, dtype):
    features = points(kind, 150, d, d).astype(dtype)
    values = np.random.default_rng(d).normal(size=(150, 3)).astype(dtype)
    for normalization in NORMALIZATIONS:
        check(features, values, normalization, transpose=d % 2 == 0)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 8, 15, 16, 17, 24, 33, 47, 48, 49, 96, 97, 200])
def test_any_number_of_channels(channels):
    values = np.random.default_rng(0).random((70, channels)).astype(np.float32)
    check(points("normal", 70, 3, 0).astype(np.float32), values, "symmetric")


@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, 31, 33, 100])
def test_any_number_of_points(n):
    for d in (1, 2, 5):
        check(points("normal", n, d, n).astype(np.float32), np.random.default_rng(0).random(n).astype(np.float32))


def test_more_points_than_a_band_holds():
    for kind, d in (("dense", 2), ("normal", 3)):
        features = points(kind, 140_000, d, 0).astype(np.float32)
        check(features, np.random.default_rng(0).random((140_000, 2)).astype(np.float32), "after")


def test_coordinates_of_more_bits_than_one_key_holds():
    rng = np.random.default_rng(0)
    for d in (2, 5, 9, 16):
        features = (rng.normal(0, 1, (40, d)) * 10.0 ** rng.uniform(0, 3.5, d)).astype(np.float32)
        features = np.concatenate([features, features + rng.normal(0, 0.5, features.shape).astype(np.float32)])
        check(features, rng.random((80, 2)).astype(np.float32), "symmetric")
        check(features.astype(np.float64) * 1000, rng.random((80, 2)), "symmetric")


@st.composite
def problems(draw):
    n, d, channels = draw(st.integers(1, 200)), draw(st.integers(1, 16)), draw(st.integers(1, 60))
    seed, dtype = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from(["float32", "float32", "float64"]))
    features = points(draw(st.sampled_from(KINDS)), n, d, seed).astype(dtype)
    values = np.random.default_rng(seed).normal(size=(n, channels)).astype(dtype)
    layout = draw(st.sampled_from(["plain", "Fortran", "reversed", "one channel"]))
    if layout == "Fortran":
        features, values = np.asfortranarray(features), np.asfortranarray(values)
    elif layout == "reversed":
        features, values = features[::-1], values[::-1]
    elif layout == "one channel":
        values = values[:, 0]
    return features, values, draw(st.sampled_from(NORMALIZATIONS)), draw(st.booleans())


@settings(max_examples=200)
@given(problems())
def test_equals_the_definition_on_anything(problem):
    features, values, normalization, transpose = problem
    check(np.array(features), np.array(values), normalization, transpose)
    plain = pyseg.PermutohedralLattice(np.array(features)).filter(
        np.array(values), normalization=normalization, transpose=transpose
    )
    ours = pyseg.PermutohedralLattice(features).filter(values, normalization=normalization, transpose=transpose)
    np.testing.assert_array_equal(ours, plain)


@settings(max_examples=60)
@given(problems())
def test_gradients_are_the_definitions(problem):
    features, values, normalization, transpose = problem
    cotangent = torch.from_numpy(np.random.default_rng(0).normal(size=values.shape).astype(values.dtype))
    results = []
    for make in (pyseg.PermutohedralLattice, Reference):
        leaves = [torch.from_numpy(np.array(x)).requires_grad_() for x in (features, values)]
        out = make(leaves[0]).filter(leaves[1], normalization=normalization, transpose=transpose)
        results.append(torch.autograd.grad((out * cotangent).sum(), leaves))
    # Terms of about this size may cancel: a point alone, say, is 1 whatever its feature.
    terms = (torch.from_numpy(np.array(values)) * cotangent).reshape(len(features), -1).abs().sum(1).max()
    for mine, expected in zip(*results, strict=True):
        bar = 1e-4 if features.dtype == np.float32 else 1e-11
        assert (mine - expected).abs().max() <= bar * torch.maximum(expected.abs().max(), terms)


def test_integers_are_filtered_as_float32():
    features, values = np.arange(12).reshape(6, 2), np.arange(6)
    out = pyseg.PermutohedralLattice(features).filter(values)
    assert out.dtype == np.float32
    np.testing.assert_array_equal(
        out, pyseg.PermutohedralLattice(features.astype(np.float32)).filter(values.astype(np.float32))
    )


def test_values_are_taken_in_the_features_type():
    features, values = points("normal", 30, 3, 0), np.random.default_rng(0).random((30, 2))
    for dtype in ("float32", "float64"):
        lattice = pyseg.PermutohedralLattice(features.astype(dtype))
        for other in ("float16", "float32", "float64"):
            out = lattice.filter(values.astype(other))
            assert out.dtype == dtype
            np.testing.assert_array_equal(out, lattice.filter(values.astype(other).astype(dtype)))
