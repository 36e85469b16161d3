"""dense_crf is its definition: on a table of problems, and on anything."""

import numpy as np
import pytest
import torch
from crf_problems import NORMALIZATIONS, Problem, by_pyseg, by_reference, random_problem
from hypothesis import given, settings
from hypothesis import strategies as st

import pyseg


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def rest(problem):
    return problem.image, problem.kernels, problem.n_iter


def check(problem, **options):
    expected = by_reference(problem).numpy()
    q = np.asarray(by_pyseg(problem, **options))
    assert q.dtype == np.float32
    assert q.shape == expected.shape
    np.testing.assert_allclose(q, expected, atol=3e-5)


TABLE = {
    "K = 2, one channel inside": {"classes": 2},
    "K = 3": {"classes": 3},
    "K = 21": {"classes": 21},
    "K = 19": {"classes": 19},
    "K = 64, more than one panel": {"classes": 64},
    "K = 150": {"classes": 150, "shape": (9, 8)},
    "only a Gaussian": {"kinds": ("gaussian",)},
    "only a bilateral": {"kinds": ("bilateral",)},
    "grey": {"channels": 1},
    "five channels": {"channels": 5},
    "uint16": {"dtype": "uint16"},
    "float32": {"dtype": "float32"},
    "float64": {"dtype": "float64"},
    "float16": {"dtype": "float16"},
    "features": {"shape": (230,), "kinds": ("features",)},
    "three kernels": {"kinds": ("gaussian", "bilateral", "bilateral")},
    "a volume": {"shape": (5, 9, 8), "channels": 1},
    "a colour volume": {"shape": (4, 7, 8), "channels": 3},
    "one pixel": {"shape": (1, 1)},
    "one row": {"shape": (1, 90)},
    "one column": {"shape": (90, 1)},
    "16 and 17 pixels": {"shape": (1, 17)},
    "many tiles": {"shape": (130, 150), "classes": 3},
    "many tiles, two classes": {"shape": (70, 140), "classes": 2},
    "no step": {"n_iter": 0},
    "negative weight": {"weight": -1.5},
    "weight 0": {"weight": 0.0},
}


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("name", TABLE)
def test_equals_the_definition(name, normalization):
    options = {"normalization": normalization} | ({"weight": 0.02} if normalization is None else {}) | TABLE[name]
    check(random_problem(sorted(TABLE).index(name), **options))


@pytest.mark.parametrize("kind", ["vector", "matrix", "identity"])
@pytest.mark.parametrize("classes", [1, 2, 3, 21, 64])
def test_equals_the_definition_with_compatibilities(classes, kind):
    rng = np.random.default_rng(classes)
    compat = {
        "vector": -rng.uniform(0, 2, classes),
        "matrix": rng.uniform(-1, 1, (classes, classes)),
        "identity": -np.eye(classes),
    }[kind].astype(np.float32)
    check(random_problem(classes, classes=classes, compat=compat))


def test_the_calls_compat_is_that_of_kernels_without():
    problem = random_problem(6, classes=3)
    mine, theirs = (np.random.default_rng(i).uniform(-1, 1, (3, 3)).astype(np.float32) for i in (1, 2))
    kernels = [problem.kernels[0] | {"compat": mine}, problem.kernels[1] | {"compat": theirs}]
    expected = by_pyseg(Problem(problem.unary, problem.image, kernels, 4))
    half = Problem(problem.unary, problem.image, [problem.kernels[0], kernels[1]], 4)
    np.testing.assert_array_equal(by_pyseg(half, compat=mine), expected)


@st.composite
def problems(draw):
    dims = draw(st.sampled_from([1, 2, 2, 2, 3]))
    shape = tuple(draw(st.integers(1, {1: 300, 2: 40, 3: 9}[dims])) for _ in range(dims))
    normalization = draw(st.sampled_from(NORMALIZATIONS))
    kinds = [("features",)] if dims == 1 else [("gaussian",), ("bilateral",), ("gaussian", "bilateral")]
    classes = draw(st.sampled_from([1, 2, 2, 3, 4, 5, 8, 15, 16, 17, 21, 33, 49]))
    seed = draw(st.integers(0, 2**32 - 1))
    common = {"normalization": normalization}
    if normalization is None:
        common["weight"] = 0.02
    kind = draw(st.sampled_from(["Potts", "Potts", "vector", "matrix"]))
    rng = np.random.default_rng(seed)
    if kind != "Potts":
        common["compat"] = rng.uniform(-1, 0.3, (classes,) * (1 if kind == "vector" else 2)).astype(np.float32)
    return random_problem(
        seed,
        shape,
        classes,
        channels=draw(st.integers(1, 5)),
        dtype=draw(st.sampled_from(["uint8", "uint8", "uint16", "float32", "float64"])),
        kinds=draw(st.sampled_from(kinds)),
        n_iter=draw(st.integers(0, 6)),
        **common,
    )


@settings(max_examples=150)
@given(problems())
def test_equals_the_definition_on_anything(problem):
    check(problem)


@settings(max_examples=40)
@given(problems())
def test_half_precision_is_near_on_anything(problem):
    q = by_pyseg(problem, storage="float16")
    assert q.dtype == np.float32
    np.testing.assert_allclose(np.asarray(q).sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(q, by_pyseg(problem), atol=0.03)


# ---- where the unary term comes from


def test_energies_logits_and_probabilities_say_the_same():
    problem = random_problem(7)
    expected = by_pyseg(problem)
    np.testing.assert_allclose(
        by_pyseg(Problem(-problem.unary, *rest(problem)), unary_from="logits"), expected, atol=1e-6
    )
    probabilities = softmax(-problem.unary.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(
        by_pyseg(Problem(probabilities, *rest(problem)), unary_from="probs"), expected, atol=5e-6
    )


def test_probabilities_are_at_least_a_hundred_thousandth():
    problem = random_problem(8)
    hard = np.eye(4, dtype=np.float32)[problem.unary.argmin(-1)]
    energies = -np.log(np.maximum(hard, 1e-5))
    np.testing.assert_allclose(
        by_pyseg(Problem(hard, *rest(problem)), unary_from="probs"),
        by_pyseg(Problem(energies, *rest(problem)), unary_from="energy"),
        atol=5e-6,
    )


def test_probabilities_are_the_default():
    problem = random_problem(9)
    probabilities = softmax(-problem.unary.astype(np.float64)).astype(np.float32)
    np.testing.assert_array_equal(
        pyseg.dense_crf(probabilities, problem.image),
        pyseg.dense_crf(
            probabilities,
            problem.image,
            n_iter=10,
            gaussian=pyseg.Gaussian(3.0, 3.0),
            bilateral=pyseg.Bilateral(80.0, 13.0, 10.0),
            unary_from="probs",
            normalization="symmetric",
            storage="float32",
        ),
    )


# ---- classes that stay unlikely may be left out


def unlikely(seed, least, classes=12, shape=(20, 24)):
    """A problem where all but 3 classes have probabilities below ``least`` from the start, and weak kernels."""
    problem = random_problem(seed, shape, classes, weight=0.4)
    unary = problem.unary.copy()
    unary[..., 3:] += 12 - np.log(least)
    return Problem(unary, *rest(problem))


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("least", [1e-3, 1e-5])
def test_pruned_classes_are_unlikely_and_the_others_nearly_the_same(least, normalization):
    problem = unlikely(1, least)
    kernels = [
        kernel | {"normalization": normalization, "weight": 0.002 if normalization is None else 0.4}
        for kernel in problem.kernels
    ]
    problem = Problem(problem.unary, problem.image, kernels, 6)
    full = by_reference(problem, torch.float64).numpy()
    q = np.asarray(by_pyseg(problem, prune=least))
    gone = (q == 0).all((0, 1))
    assert gone[3:].all()
    assert not gone[:3].any()
    assert full[..., gone].max() <= least
    np.testing.assert_allclose(q, full, atol=20 * least)
    np.testing.assert_allclose(q.sum(-1), 1, atol=1e-5)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-6, 1e-3, 0.05, 0.3]), st.floats(0, 5), st.floats(0, 30))
def test_a_pruned_class_never_exceeds_the_bound(seed, least, weight, spread):
    rng = np.random.default_rng(seed)
    problem = random_problem(seed, (9, 11), 6, weight=weight)
    problem = Problem(problem.unary + (spread * rng.random(6)).astype(np.float32), *rest(problem))
    q = np.asarray(by_pyseg(problem, prune=least))
    full = by_reference(problem, torch.float64).numpy()
    gone = (q == 0).all((0, 1))
    assert not gone.all()
    assert full[..., gone].max(initial=0) <= least * 1.001
    if not gone.any():
        np.testing.assert_array_equal(q, by_pyseg(problem))


def test_pruning_is_of_potts_that_smooths_only():
    problem = random_problem(2, classes=3)
    with pytest.raises(ValueError, match="dense_crf: prune needs Potts"):
        by_pyseg(problem, prune=0.1, compat=-np.eye(3))
    with pytest.raises(ValueError, match="dense_crf: prune needs Potts"):
        by_pyseg(Problem(problem.unary, problem.image, [problem.kernels[0] | {"weight": -1.0}]), prune=0.1)


def test_pruning_of_probabilities_batches_and_tensors():
    problem = unlikely(3, 1e-4)
    probabilities = softmax(-problem.unary.astype(np.float64)).astype(np.float32)
    image = problem.image
    options = {"gaussian": pyseg.Gaussian(2, 0.3), "bilateral": pyseg.Bilateral(9, 20, 0.3), "prune": 1e-3}
    alone = pyseg.dense_crf(probabilities, image, **options)
    assert (alone == 0).all((0, 1))[3:].all()
    first = [np.moveaxis(x, -1, 0)[None] for x in (probabilities, image)]
    np.testing.assert_array_equal(pyseg.dense_crf(*first, **options)[0], np.moveaxis(alone, -1, 0))
    tensor = pyseg.dense_crf(torch.from_numpy(probabilities), torch.from_numpy(image), **options)
    np.testing.assert_array_equal(tensor.numpy(), alone)
    half = pyseg.dense_crf(probabilities, image, storage="float16", **options)
    np.testing.assert_allclose(half, alone, atol=0.01)
