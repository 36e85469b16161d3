"""Gradients: of the definition by finite differences in float64, and of the library against the definition's."""

import numpy as np
import pytest
import torch
from crf_problems import NORMALIZATIONS, Problem, by_pyseg, by_reference, flat_unary, random_problem, to_tensors

import pyseg
from pyseg.reference.dense_crf import Kernel, bilateral_features, dense_crf, gaussian_features
from pyseg.reference.permutohedral import BruteForce, PermutohedralLattice

COMPATS = {
    "Potts": None,
    "vector": torch.tensor([-1.0, -0.4, 0.3], dtype=torch.float64),
    "matrix": torch.tensor([[-1.0, 0.4, 0.3], [0.1, -2, 0.2], [0.5, 0.7, -0.6]], dtype=torch.float64),
}


# ---- the definition


@pytest.mark.parametrize("make", [PermutohedralLattice, BruteForce])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("compat", COMPATS)
def test_gradcheck_of_the_definition(compat, normalization, make):
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.random((3, 4, 2)) * 3)
    inputs = [
        torch.from_numpy(rng.random((12, 3)) * 3),
        torch.tensor([1.3, 1.7], dtype=torch.float64),
        torch.tensor([2.3, 1.9], dtype=torch.float64),
        torch.tensor([0.9, 1.4], dtype=torch.float64),
        torch.tensor([0.6, 0.4], dtype=torch.float64),
    ]
    given = COMPATS[compat]
    inputs += [] if given is None else [given.clone()]

    def beliefs(unary, sxy, wide, srgb, weights, given=None):
        kernels = [
            Kernel(make(gaussian_features((3, 4), sxy)), weights[0], given, normalization),
            Kernel(make(bilateral_features(image, wide, srgb)), weights[1], given, normalization),
        ]
        return dense_crf(unary, kernels, 2)

    torch.autograd.gradcheck(beliefs, [x.requires_grad_() for x in inputs], eps=1e-7, atol=1e-6)


# ---- the library


def close(mine, expected, bar=2e-4):
    scale = expected.abs().max().clamp(min=1e-3)
    assert ((mine.double() - expected.double()).abs().max() / scale) < bar, (mine.flatten()[:6], expected.flatten()[:6])


def gradients(solve, problem, learned):
    """Of a sum of beliefs times fixed numbers, with respect to fresh leaves of ``learned``.

    Args:
        learned: names out of "unary", "weight", "sxy", "srgb", "compat", "features": each of all kernels that have it.
    """
    leaves = []

    def leaf(value):
        leaves.append(torch.as_tensor(np.asarray(value), dtype=torch.float32).clone().requires_grad_())
        return leaves[-1]

    unary = leaf(problem.unary) if "unary" in learned else problem.unary
    kernels = [
        {key: leaf(value) if key in learned and value is not None else value for key, value in kernel.items()}
        for kernel in problem.kernels
    ]
    q = solve(Problem(unary, problem.image, kernels, problem.n_iter))
    cotangent = torch.from_numpy(np.random.default_rng(1).normal(size=tuple(q.shape))).float()
    return torch.autograd.grad((q * cotangent).sum(), leaves)


def check(problem, learned, bar=2e-4):
    mine, expected = (gradients(solve, problem, learned) for solve in (by_pyseg, by_reference))
    assert len(mine) == len(expected) >= 1
    for m, e in zip(mine, expected, strict=True):
        assert m.shape == e.shape
        close(m, e, bar)


TABLE = {
    "K = 2": {"classes": 2},
    "K = 3": {"classes": 3},
    "K = 21": {"classes": 21},
    "K = 60": {"classes": 60, "shape": (8, 9)},
    "only a Gaussian": {"kinds": ("gaussian",)},
    "only a bilateral": {"kinds": ("bilateral",)},
    "float32 image": {"dtype": "float32"},
    "a volume": {"shape": (4, 6, 7), "channels": 2},
    "one step": {"n_iter": 1},
    "ten steps": {"n_iter": 10},
}


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("name", TABLE)
def test_with_respect_to_unary_and_weights(name, normalization):
    options = {"normalization": normalization} | ({"weight": 0.02} if normalization is None else {}) | TABLE[name]
    check(to_tensors(random_problem(sorted(TABLE).index(name), **options)), {"unary", "weight"})


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("name", ["K = 2", "K = 3", "only a Gaussian", "float32 image", "a volume"])
def test_with_respect_to_sigmas(name, normalization):
    options = {"normalization": normalization} | ({"weight": 0.02} if normalization is None else {}) | TABLE[name]
    problem = to_tensors(random_problem(sorted(TABLE).index(name), **options))
    check(problem, {"sxy", "srgb"}, bar=1e-3)


@pytest.mark.parametrize("kind", ["vector", "matrix"])
@pytest.mark.parametrize("classes", [1, 2, 3, 21])
def test_with_respect_to_compat(classes, kind):
    shape = (classes,) * (1 if kind == "vector" else 2)
    compat = np.random.default_rng(0).uniform(-1, 0.5, shape).astype(np.float32)
    check(to_tensors(random_problem(classes, classes=classes, compat=compat)), {"unary", "weight", "compat"})


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_with_respect_to_features(normalization):
    weight = {"weight": 0.05} if normalization is None else {}
    problem = random_problem(0, (90,), 3, kinds=("features",), normalization=normalization, **weight)
    learned = {"unary", "features"}

    def solve(given):
        options = {key: value for key, value in given.kernels[0].items() if key != "kind"}
        options["normalization"] = options["normalization"] or "none"
        return pyseg.dense_crf(
            given.unary, features=[pyseg.Features(**options)], n_iter=given.n_iter, unary_from="energy", compat=None
        )

    problem = to_tensors(problem)
    mine, expected = gradients(solve, problem, learned), gradients(by_reference, problem, learned)
    for m, e in zip(mine, expected, strict=True):
        close(m, e, 1e-3)


@pytest.mark.parametrize("unary_from", ["logits", "probs"])
def test_with_respect_to_scores(unary_from):
    problem = to_tensors(random_problem(3))
    given = {"logits": -problem.unary, "probs": (-problem.unary).softmax(-1)}[unary_from].clone().requires_grad_()
    energy = -given if unary_from == "logits" else -given.clamp(min=1e-5).log()
    cotangent = torch.from_numpy(np.random.default_rng(1).normal(size=tuple(given.shape))).float()
    rest = (problem.image, problem.kernels, problem.n_iter)
    mine = by_pyseg(Problem(given, *rest), unary_from=unary_from)
    expected = by_reference(Problem(energy, *rest))
    torch.testing.assert_close(mine, expected, atol=5e-6, rtol=0)
    close(*[torch.autograd.grad((q * cotangent).sum(), given)[0] for q in (mine, expected)])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_gradients_are_of_the_leafs_type(dtype):
    problem = to_tensors(random_problem(4))
    unary = problem.unary.to(dtype).requires_grad_()
    q = by_pyseg(Problem(unary, problem.image, problem.kernels, 3))
    (gradient,) = torch.autograd.grad(q.float().square().sum(), unary)
    assert gradient.dtype == dtype
    wide = problem.unary.to(dtype).float().requires_grad_()
    expected = by_pyseg(Problem(wide, problem.image, problem.kernels, 3))
    (expected,) = torch.autograd.grad(expected.square().sum(), wide)
    close(gradient, expected, 2e-2 if dtype != torch.float64 else 1e-3)


def test_in_a_batch_each_image_has_its_own():
    problem = to_tensors(random_problem(5))
    unary = torch.stack([problem.unary, problem.unary * 0.3]).movedim(-1, 1).requires_grad_()
    image = problem.image.movedim(-1, 0).expand(2, -1, -1, -1)
    gaussian, bilateral = problem.kernels
    q = pyseg.dense_crf(
        unary,
        image,
        gaussian=pyseg.Gaussian(gaussian["sxy"], gaussian["weight"]),
        bilateral=pyseg.Bilateral(bilateral["sxy"], bilateral["srgb"], bilateral["weight"]),
        n_iter=problem.n_iter,
        unary_from="energy",
    )
    (gradient,) = torch.autograd.grad(q.square().sum(), unary)
    for i, factor in enumerate((1, 0.3)):
        leaf = (problem.unary * factor).clone().requires_grad_()
        alone = by_pyseg(Problem(leaf, problem.image, problem.kernels, problem.n_iter))
        (expected,) = torch.autograd.grad(alone.square().sum(), leaf)
        torch.testing.assert_close(gradient[i].movedim(0, -1), expected, atol=1e-6, rtol=1e-4)


def test_none_where_none_is_wanted():
    problem = to_tensors(random_problem(6))
    assert not by_pyseg(problem).requires_grad
    with torch.no_grad():
        unary = problem.unary.clone().requires_grad_()
        assert not by_pyseg(Problem(unary, problem.image, problem.kernels)).requires_grad


def test_two_steps_of_the_lattice_have_second_derivatives():
    """Of values: the filter is linear in them, so that the gradient of a gradient is a filter again."""
    rng = np.random.default_rng(0)
    features, values = torch.from_numpy(rng.normal(0, 1, (15, 2))), torch.from_numpy(rng.random((15, 2)))
    lattice = pyseg.PermutohedralLattice(features)
    torch.autograd.gradgradcheck(
        lambda v: lattice.filter(lattice.filter(v, normalization="after").square(), transpose=True),
        [values.requires_grad_()],
    )


# ---- the layer


@pytest.mark.parametrize("learn", [("compat", "weights"), ("compat", "weights", "sigmas"), ()])
def test_the_layer_begins_as_the_function_with_its_defaults(learn):
    problem = random_problem(7, (20, 24), 3)
    scores = torch.from_numpy(-problem.unary).movedim(-1, 0)[None]
    image = torch.from_numpy(problem.image).movedim(-1, 0)[None]
    layer = pyseg.nn.DenseCRF(3, learn=learn)
    expected = pyseg.dense_crf(scores, image, unary_from="logits")
    torch.testing.assert_close(layer(scores, image).detach(), expected, atol=2e-5, rtol=0)
    wanted = {"compat": "compat", "weights": "weights", "sigmas": "log_sigmas"}
    assert {name for name, _ in layer.named_parameters()} == {wanted[name] for name in learn}


def test_the_layer_learns():
    """A label image from noisy scores of it: all parameters move, and the loss falls."""
    rng = np.random.default_rng(0)
    truth = (np.indices((24, 24)).sum(0) > 24).astype(np.int64)
    image = torch.from_numpy((truth[..., None] * [200, 90, 30] + rng.integers(0, 30, (24, 24, 3))).astype(np.uint8))
    noisy = np.eye(2)[truth] * 1.0 + rng.normal(0, 1, (24, 24, 2))
    scores = torch.from_numpy(noisy.astype(np.float32)).movedim(-1, 0)[None]
    layer = pyseg.nn.DenseCRF(
        2, n_iter=3, sxy_bilateral=10.0, srgb=20.0, weight_gaussian=0.3, weight_bilateral=0.3,
        learn=("compat", "weights", "sigmas"),
    )  # fmt: skip
    start = {name: p.detach().clone() for name, p in layer.named_parameters()}
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    losses = []
    for _ in range(12):
        q = layer(scores, image.movedim(-1, 0)[None])
        loss = -q[0].gather(0, torch.from_numpy(truth)[None]).clamp(min=1e-6).log().mean()
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]
    for name, p in layer.named_parameters():
        assert not torch.equal(p, start[name]), name
    again = pyseg.nn.DenseCRF(2, n_iter=3, learn=("compat", "weights", "sigmas"))
    again.load_state_dict(layer.state_dict())
    torch.testing.assert_close(
        again(scores, image.movedim(-1, 0)[None]), layer(scores, image.movedim(-1, 0)[None]), atol=1e-6, rtol=0
    )


def test_flat_unary_is_points_first():
    problem = random_problem(0, (2, 3), 4)
    np.testing.assert_array_equal(flat_unary(problem)[4], problem.unary[1, 1])
