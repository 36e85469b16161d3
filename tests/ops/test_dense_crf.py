"""dense_crf: what pydensecrf computed, and rules worked out by hand; of the library and of its definition alike."""

import crf_goldens
import numpy as np
import pytest
import torch
from crf_problems import (
    Problem,
    by_pyseg,
    by_reference,
    flat_unary,
    margin,
    of_case,
    random_problem,
    reference_kernels,
)

from pyseg.reference.dense_crf import kl_divergence, pairwise_energy, step, unary_energy

# Points on the border of two simplices: float64 puts them on the other side than pydensecrf's float32.
TIES = {"volume_bilateral_k4", "volume_two_channels_k5"}

cases = pytest.mark.parametrize("name", crf_goldens.MEAN_FIELD)
small_cases = pytest.mark.parametrize("name", [name for name in crf_goldens.MEAN_FIELD if not name.startswith("voc")])


def solve_library(problem):
    return np.asarray(by_pyseg(problem))


def solve_reference(problem):
    return by_reference(problem).numpy()


both = pytest.mark.parametrize(
    "solve",
    [pytest.param(solve_library, id="library"), pytest.param(solve_reference, id="reference")],
)


def library_runs(case, **options):
    """For each of the case's numbers of iterations: it, and Q [*shape, K]."""
    for n_iter in case.meta["iterations"]:
        yield n_iter, np.asarray(by_pyseg(of_case(case, n_iter), **options))


def reference_runs(case, dtype=torch.float32):
    problem = of_case(case, 0)
    unary, kernels = flat_unary(problem, dtype), reference_kernels(problem, dtype)
    q = (-unary).softmax(1)
    for n_iter in range(max(case.meta["iterations"]) + 1):
        if n_iter:
            q = step(q, unary, kernels)
        if n_iter in case.meta["iterations"]:
            yield n_iter, q.reshape(problem.unary.shape).numpy()


def check_case(case, runs, mean=1e-6, outliers=1e-3, class_means=1e-6, wrong=0.0):
    """Against the golden case. Labels may differ where the two best are within 0.001."""
    ran = []
    for n_iter, q in runs:
        np.testing.assert_allclose(q.sum(-1), 1, atol=1e-5)
        other = (q.argmax(-1) != case.arrays[f"labels_{n_iter}"]) & (margin(q) >= 1e-3)
        assert other.mean() <= wrong, f"{other.sum()} labels differ after {n_iter}"
        found = case.differences(n_iter, np.moveaxis(q, -1, 0))
        assert found["mean"] <= mean
        assert found["above 1e-4"] <= outliers
        assert found["class means"] <= class_means
        ran.append(n_iter)
    assert ran == case.meta["iterations"]


# ---- golden cases


@pytest.mark.parametrize(
    "runs",
    [pytest.param(library_runs, id="library"), pytest.param(reference_runs, id="reference")],
)
@cases
def test_beliefs_are_pydensecrfs(runs, name):
    case = crf_goldens.mean_field(name)
    check_case(case, runs(case))


@small_cases
def test_the_definition_in_float64_agrees_too(name):
    case = crf_goldens.mean_field(name)
    mean, outliers = (5e-5, 0.05) if name in TIES else (1e-6, 1e-3)
    check_case(case, reference_runs(case, torch.float64), mean, outliers, class_means=2e-5)


@cases
def test_labels_stay_in_half_precision(name):
    case = crf_goldens.mean_field(name)
    check_case(case, library_runs(case, storage="float16"), mean=1e-3, outliers=1.0, class_means=1e-3, wrong=1e-4)


@small_cases
def test_divergence_is_pydensecrfs(name):
    """Which sums float32."""
    case = crf_goldens.mean_field(name)
    problem = of_case(case, 0)
    kernels = reference_kernels(problem, torch.float64)
    for n_iter, q in reference_runs(case):
        flat = torch.from_numpy(q).double().reshape(-1, len(case.unary))
        found = float(kl_divergence(flat, flat_unary(problem, torch.float64), kernels))
        assert abs(found / case.expected(n_iter)["kl"] - 1) < 2e-3


@pytest.mark.parametrize("name", ["odd_after_k5", "compat_matrix_k5", "two_bilaterals_k7", "interactive_k2"])
def test_golden_cases_on_each_instruction_set(name, isa):
    case = crf_goldens.mean_field(name)
    check_case(case, library_runs(case))


# ---- rules


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@both
def test_no_kernel_or_no_step_is_the_softmax(solve):
    problem = random_problem(0)
    expected = softmax(-problem.unary.astype(np.float64))
    np.testing.assert_allclose(solve(Problem(problem.unary, None, [], 3)), expected, atol=3e-7)
    np.testing.assert_allclose(solve(Problem(problem.unary, problem.image, problem.kernels, 0)), expected, atol=3e-7)


POTTS = {"weight": 1.5, "compat": None}
COMPATS = {
    "Potts": (POTTS, lambda x: -1.5 * x),
    "a vector": ({"weight": 2.0, "compat": [-1.0, -2.0, 0.5]}, lambda x: 2 * x * [-1, -2, 0.5]),
    "a matrix, made symmetric": (
        {"weight": 0.5, "compat": [[0.0, 2.0, 1.0], [0.0, 0.0, 4.0], [3.0, 2.0, -1.0]]},
        lambda x: 0.5 * x @ [[0, 1, 2], [1, 0, 3], [2, 3, -1]],
    ),
    "one-half of an identity": ({"weight": -3.0, "compat": np.eye(3)}, lambda x: -3 * x),
}


@both
@pytest.mark.parametrize("compat", COMPATS)
def test_one_point_by_hand(solve, compat):
    """Normalised, a point alone is its own neighbour with weight 1."""
    options, energy = COMPATS[compat]
    if options["compat"] is not None:
        options = options | {"compat": np.array(options["compat"], np.float32)}
    unary = np.array([[[0.3, 1.2, 0.9]]], np.float32)
    q = softmax(-unary)
    for n_iter in range(4):
        kernel = {"kind": "gaussian", "sxy": 3.0, "normalization": "symmetric", **options}
        np.testing.assert_allclose(solve(Problem(unary, None, [kernel], n_iter)), q, atol=1e-6)
        q = softmax(-unary - energy(q))


@both
def test_neighbours_persuade_a_doubtful_point_within_its_colour(solve):
    """Two halves, one black, one white; the unary term knows the left column of each only."""
    image = np.zeros((16, 20, 3), np.uint8)
    image[:, 10:] = 255
    unary = np.full((16, 20, 2), np.log(2), np.float32)
    unary[:, 0, 0], unary[:, 0, 1] = 0, 3
    unary[:, 10, 0], unary[:, 10, 1] = 3, 0
    bilateral = {"kind": "bilateral", "sxy": 30.0, "srgb": 10.0, "weight": 5.0}
    q = solve(Problem(unary, image, [bilateral], 10))
    np.testing.assert_array_equal(q.argmax(-1), (np.arange(20) >= 10)[None].repeat(16, 0))
    assert margin(q).min() > 0.9


@both
def test_a_constant_in_the_energies_of_a_point_does_not_matter(solve):
    problem = random_problem(1)
    constant = np.random.default_rng(0).integers(-8, 8, (*problem.shape, 1)).astype(np.float32)
    moved = Problem(problem.unary + constant, problem.image, problem.kernels, problem.n_iter)
    np.testing.assert_allclose(solve(moved), solve(problem), atol=5e-6)


@both
def test_kernels_add_up(solve):
    problem = random_problem(2, kinds=("bilateral",), weight=1.0)
    (kernel,) = problem.kernels
    twice = Problem(problem.unary, problem.image, [kernel, kernel], 4)
    heavy = Problem(problem.unary, problem.image, [kernel | {"weight": 2.0}], 4)
    np.testing.assert_allclose(solve(twice), solve(heavy), atol=5e-6)


@both
def test_classes_may_come_in_any_order(solve):
    problem = random_problem(3, classes=6)
    order = np.array([3, 0, 5, 1, 4, 2])
    permuted = Problem(problem.unary[..., order].copy(), problem.image, problem.kernels, problem.n_iter)
    np.testing.assert_allclose(solve(permuted), solve(problem)[..., order], atol=5e-6)


@both
def test_a_class_that_is_never_likely_changes_nothing(solve):
    problem = random_problem(4, classes=3)
    more = np.concatenate([problem.unary, np.full((*problem.shape, 1), 60, np.float32)], -1)
    q = solve(Problem(more, problem.image, problem.kernels, problem.n_iter))
    np.testing.assert_allclose(q[..., :3], solve(problem), atol=5e-6)
    assert q[..., 3].max() < 1e-6


@pytest.mark.parametrize("energy", [1e3, 1e6, 1e30])
@pytest.mark.parametrize(
    ("solve", "which"),
    [
        pytest.param(solve_library, 0, id="library, first"),
        pytest.param(solve_library, 2, id="library, last"),
        pytest.param(solve_reference, 0, id="reference, first"),
        pytest.param(solve_reference, 2, id="reference, last"),
    ],
)
def test_a_class_that_is_forbidden_changes_nothing(solve, which, energy):
    """By an energy beyond all exponentials."""
    problem = random_problem(4, classes=3)
    barred = problem.unary.copy()
    barred[..., which] = energy
    others = Problem(np.delete(problem.unary, which, -1), problem.image, problem.kernels, problem.n_iter)
    q = solve(Problem(barred, problem.image, problem.kernels, problem.n_iter))
    np.testing.assert_allclose(np.delete(q, which, -1), solve(others), atol=5e-6)
    assert q[..., which].max() < 1e-20


@pytest.mark.parametrize(
    ("solve", "classes"),
    [
        pytest.param(solve_library, 2, id="library, K = 2"),
        pytest.param(solve_library, 5, id="library, K = 5"),
        pytest.param(solve_reference, 2, id="reference, K = 2"),
        pytest.param(solve_reference, 5, id="reference, K = 5"),
    ],
)
def test_small_beliefs_keep_their_digits(solve, classes):
    """A loss takes their logarithm."""
    problem = random_problem(5, classes=classes)
    problem = Problem(problem.unary * 12, problem.image, problem.kernels, problem.n_iter)
    expected = by_reference(problem, torch.float64).numpy()
    assert 1e-30 < expected.min() < 1e-12
    np.testing.assert_allclose(solve(problem), expected, rtol=2e-3)


@both
def test_one_class_is_certain(solve):
    problem = random_problem(5, classes=1)
    np.testing.assert_array_equal(solve(problem), np.ones((*problem.shape, 1)))


def test_energies_by_hand():
    """Two equal points share all they have: the normalised kernel is 1/2 between any of the two."""
    problem = Problem(np.zeros((2, 3), np.float32), None, [])
    kernel = {"kind": "features", "features": np.full((2, 2), 0.4), "weight": 2.0, "normalization": "after"}
    kernels = reference_kernels(Problem(problem.unary, None, [kernel]), torch.float64)
    np.testing.assert_allclose(pairwise_energy([0, 0], kernels, 3), [-1, -1])
    np.testing.assert_allclose(pairwise_energy([0, 1], kernels, 3), [-0.5, -0.5])
    np.testing.assert_allclose(pairwise_energy([2, 7], kernels, 3), [-0.5, 0])
    np.testing.assert_array_equal(unary_energy([0, 2, -1, 3], torch.arange(12.0).reshape(4, 3)), [0, 5, 0, 0])
    sure = torch.tensor([[1.0, 0, 0], [0, 1, 0]], dtype=torch.float64)
    unary = torch.tensor([[0.25, 1, 1], [1, 0.5, 1]], dtype=torch.float64)
    np.testing.assert_allclose(kl_divergence(sure, unary, kernels), 0.75 - 2 * (0.5 + 0.5))
