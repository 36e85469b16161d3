"""Diffusion and colour models over superpixels against their definition in ``pyseg.reference.cut``."""

import numpy as np
import pytest

from pyseg import _runtime
from pyseg.reference import cut as reference

native = _runtime.native()


@pytest.fixture(scope="module")
def graph():
    """A random one of 90 superpixels in a strip of neighbours, one of which has none."""
    rng = np.random.default_rng(3)
    n = 90
    edges = np.unique(np.sort(np.stack([rng.integers(0, n - 1, 300), rng.integers(0, n - 1, 300)], 1), 1), axis=0)
    edges = edges[edges[:, 0] != edges[:, 1]].astype(np.int32)
    lab = rng.normal(0, 15, (n, 3)) + np.array([50, 0, 0])
    area, boundary = rng.integers(20, 90, n), rng.integers(1, 30, len(edges))
    return lab, area, edges, boundary, native.CutGraph(lab, area, edges, boundary, 7.0, 0.03)


@pytest.mark.parametrize("pull", [1e-4, 0.02, 1.0])
def test_diffusion_is_the_solution(graph, pull):
    lab, area, edges, boundary, built = graph
    rng = np.random.default_rng(4)
    seed = rng.choice([-1, -1, -1, 0, 1], len(area)).astype(np.int8)
    target, pulls = rng.random(len(area)), np.full(len(area), pull)
    weight = reference.weights(lab, edges, boundary, 7.0, 0.03)
    want = reference.diffuse(weight, edges, area.astype(float), pulls, target, seed)
    got = built.diffuse(pulls, target, seed)
    assert np.abs(got - want).max() < 2e-4
    assert np.array_equal(got[seed >= 0], seed[seed >= 0])


def test_what_nothing_reaches_is_undecided(graph):
    built = graph[-1]
    n = built.count
    assert np.allclose(built.diffuse(np.zeros(n), np.zeros(n), np.full(n, -1)), 0.5, atol=0.01)


def test_colors_are_the_blurred_histograms(graph):
    lab, *_, built = graph
    rng = np.random.default_rng(5)
    inside, outside = rng.random((2, built.count))
    want = reference.color_ratio(lab, inside, outside, 1e-4)
    assert np.abs(built.color_ratio(inside, outside, 1e-4) - want).max() < 1e-3
    assert np.abs(built.color_ratio(inside * 0, outside, 1e-4)).max() < 12


def test_native_refuses_what_would_read_beyond():
    labels, strokes = np.array([[0, 5]], np.int32), np.zeros((1, 2), np.int8)
    for call in (
        lambda: native.cut_strokes(labels, strokes, 3),
        lambda: native.cut_strokes(-labels, strokes, 3),
        lambda: native.cut_strokes(labels, strokes[:, :1], 9),
        lambda: native.cut_unary(labels, np.zeros(3, np.float32), strokes),
        lambda: native.cut_finish(np.zeros((3, 2), np.float32), strokes),
        lambda: native.CutGraph(np.zeros((2, 3)), np.ones(2, int), np.array([[0, 2]]), np.ones(1, int), 1.0, 1.0),
        lambda: native.CutGraph(np.full((2, 3), np.nan), np.ones(2, int), np.zeros((0, 2)), np.ones(0, int), 1.0, 1.0),
        lambda: native.CutGraph(np.full((2, 3), 1e9), np.ones(2, int), np.zeros((0, 2)), np.ones(0, int), 1.0, 1.0),
    ):
        with pytest.raises(ValueError, match="cut: "):
            call()
