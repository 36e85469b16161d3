"""PermutohedralLattice: rules worked out by hand, and golden cases; of the library and of its definition alike."""

import crf_goldens
import numpy as np
import pytest
import torch
from crf_problems import NORMALIZATIONS

import pyseg
from pyseg.reference import BruteForce
from pyseg.reference import PermutohedralLattice as Reference

both = pytest.mark.parametrize(
    "Lattice", [pytest.param(pyseg.PermutohedralLattice, id="library"), pytest.param(Reference, id="reference")]
)
lattice_case = pytest.mark.parametrize("name", crf_goldens.LATTICE)
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def run(lattice, values, **options):
    return np.asarray(lattice.filter(np.asarray(values), **options))


def cloud(n=60, d=3, spread=1.5, seed=0, dtype="float64"):
    return np.random.default_rng(seed).normal(0, spread, (n, d)).astype(dtype)


def matrix(Lattice, features, **options):
    """K, column by column."""
    return run(Lattice(features), np.eye(len(features), dtype=features.dtype), **options)


# ---- rules


@both
@dtypes
def test_in_one_dimension_it_is_two_binomials_on_a_line(Lattice, dtype):
    """The lattice of d = 1 is the integers, 3^(1/2) / 2 apart, and so is either axis: [1/2 1 1/2] twice, times 2/3."""
    features = (np.arange(-5, 6)[:, None] * np.sqrt(0.75)).astype(dtype)
    expected = np.zeros((11, 11))
    for i in range(11):
        for j in range(11):
            expected[i, j] = {0: 1, 1: 2 / 3, 2: 1 / 6}.get(abs(i - j), 0)
    inside = slice(2, -2)  # a vertex beyond the ends may exist or not, by rounding
    np.testing.assert_allclose(matrix(Lattice, features)[inside, inside], expected[inside, inside], atol=2e-5)


@both
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("d", [1, 2, 3, 5, 8, 16])
def test_a_point_alone_at_the_origin(Lattice, d, transpose):
    """It is one vertex of its simplex, whose d + 1 vertices are a ring, each step of it along another axis.

    Half of the value goes to the next vertex at the first blur, half of that on at the second, and so on around the
    ring: 2^-(d + 1) comes home at the last.
    """
    lattice = Lattice(np.zeros((1, d)))
    assert lattice.n_vertices == d + 1
    kept = run(lattice, np.ones(1), transpose=transpose)
    np.testing.assert_allclose(kept, (1 + 2.0 ** -(d + 1)) / (1 + 2.0**-d), rtol=1e-12)


@both
def test_sizes(Lattice):
    lattice = Lattice(cloud(17, 4))
    assert (lattice.n_points, lattice.n_features) == (17, 4)
    assert 5 <= lattice.n_vertices <= 17 * 5


@both
def test_equal_points_share_one_simplex(Lattice):
    lattice = Lattice(np.full((50, 3), 0.3))
    assert lattice.n_vertices == 4
    values = np.random.default_rng(0).random((50, 2))
    np.testing.assert_allclose(
        run(lattice, values, normalization="after"), np.tile(values.mean(0), (50, 1)), rtol=1e-12
    )


@both
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_transpose_is_the_transpose(Lattice, normalization):
    features = cloud()
    plain = matrix(Lattice, features, normalization=normalization)
    np.testing.assert_allclose(
        matrix(Lattice, features, normalization=normalization, transpose=True), plain.T, atol=1e-14
    )
    assert np.abs(plain - plain.T).max() > 1e-3  # vertices are missing: the order of blurs shows


@both
def test_normalizations_are_of_the_row_sums(Lattice):
    features = cloud()
    plain = matrix(Lattice, features)
    sums = run(Lattice(features), np.ones(60))
    np.testing.assert_allclose(sums, plain.sum(1), rtol=1e-12)
    expected = {
        "symmetric": plain / np.sqrt(sums[:, None] * sums),
        "before": plain / sums,
        "after": plain / sums[:, None],
    }
    for normalization, wanted in expected.items():
        np.testing.assert_allclose(matrix(Lattice, features, normalization=normalization), wanted, atol=1e-14)


@both
def test_clusters_far_apart_do_not_touch(Lattice):
    near, far = cloud(20, 2), cloud(20, 2, seed=1) + 1000
    values = np.random.default_rng(2).random((40, 3))
    together = run(Lattice(np.concatenate([near, far])), values)
    np.testing.assert_allclose(together[:20], run(Lattice(near), values[:20]), rtol=1e-9)
    np.testing.assert_allclose(together[20:], run(Lattice(far), values[20:]), rtol=1e-9)


@both
def test_the_order_of_points_and_channels_does_not_matter(Lattice):
    features, values = cloud(300, 3), np.random.default_rng(1).random((300, 7))
    expected = run(Lattice(features), values)
    order = np.random.default_rng(2).permutation(300)
    np.testing.assert_allclose(run(Lattice(features[order]), values[order]), expected[order], rtol=1e-12)
    np.testing.assert_allclose(run(Lattice(features), values[:, ::-1].copy()), expected[:, ::-1], rtol=1e-12)
    for c in range(7):
        np.testing.assert_allclose(run(Lattice(features), values[:, c]), expected[:, c], rtol=1e-12)


@both
def test_a_weighted_mean_of_ones_is_one(Lattice):
    for d in (1, 2, 5, 9):
        ones = run(Lattice(cloud(200, d)), np.ones((200, 2)), normalization="after")
        np.testing.assert_allclose(ones, 1, rtol=1e-12)


@both
@pytest.mark.parametrize(("d", "most"), [(1, 0.04), (2, 0.07), (3, 0.13)])
def test_dense_points_are_filtered_nearly_as_by_the_gaussian(Lattice, d, most):
    features = np.random.default_rng(0).uniform(0, 5, (3000 if d > 1 else 500, d))
    values = np.sin(features.sum(1))
    exact = BruteForce(features).filter(values, "after").numpy()
    ours = run(Lattice(features), values, normalization="after")
    assert np.sqrt(np.mean((ours - exact) ** 2) / np.mean(exact**2)) < most


# ---- golden cases


@both
@lattice_case
@dtypes
def test_filters_are_pydensecrfs(Lattice, name, dtype):
    """float64 puts points on the border of two simplices on the other side than pydensecrf's float32."""
    case = crf_goldens.lattice(name)
    lattice = Lattice(case["features"].astype(dtype))
    values = case["values"].astype(dtype)
    far = name == "far_from_origin_3d" and dtype == "float64"  # where float32 has few digits left
    for key, out in {
        "output": run(lattice, values),
        "transposed": run(lattice, values, transpose=True),
        "ones": run(lattice, np.ones(len(values), dtype)),
    }.items():
        scale = np.abs(case[key]).max()
        assert np.abs(out - case[key]).max() <= (1e-4 if far else 1e-6 if dtype == "float32" else 5e-6) * scale, key


def gradients(lattice, features, values, cotangent, transpose):
    """Of sum(cotangent * filter(values)): with respect to features, and to values."""
    features, values = (torch.from_numpy(np.array(x)).requires_grad_() for x in (features, values))
    out = lattice(features).filter(values, transpose=transpose)
    return torch.autograd.grad((torch.from_numpy(cotangent) * out).sum(), (features, values))


@both
@lattice_case
def test_feature_gradients_are_pydensecrfs(Lattice, name):
    """Its source pairs the splat of the cotangent with the blur forwards: it has the gradient of the transpose."""
    case = crf_goldens.lattice(name)
    found, _ = gradients(Lattice, case["features"], case["values"], case["cotangent"], transpose=True)
    scale = np.abs(case["feature_gradient"]).max()
    assert np.abs(found.numpy() - case["feature_gradient"]).max() <= 3e-6 * scale
    swapped, _ = gradients(Lattice, case["features"], case["cotangent"], case["values"], transpose=False)
    assert np.abs(swapped.numpy() - case["feature_gradient"]).max() <= 3e-6 * scale


@pytest.mark.skipif(not crf_goldens.EXACT, reason="the shared folder with its exact filters is not there")
@pytest.mark.parametrize("name", crf_goldens.EXACT)
def test_brute_force_is_the_exact_filter(name):
    case = crf_goldens.exact(name)
    exact = BruteForce(case["features"].astype(np.float64))
    for normalization in NORMALIZATIONS:
        expected = case[f"out_{normalization or 'raw'}"]
        out = exact.filter(case["values"], normalization).numpy()
        assert np.abs(out - expected).max() <= 1e-7 * np.abs(expected).max()


# ---- gradients


@both
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_gradcheck(Lattice, d, normalization, transpose):
    features = torch.from_numpy(cloud(12, d, 1.0)).requires_grad_()
    values = torch.from_numpy(cloud(12, 2, seed=1)).requires_grad_()

    def filtered(features, values):
        return Lattice(features).filter(values, normalization=normalization, transpose=transpose)

    torch.autograd.gradcheck(filtered, (features, values), eps=1e-7, atol=1e-6)


def test_brute_force_is_the_sum_and_its_gradient():
    features, values = cloud(9, 2), cloud(9, 3, seed=1)
    expected = [
        sum(np.exp(-((features[i] - features[j]) ** 2).sum() / 2) * values[j] for j in range(9)) for i in range(9)
    ]
    np.testing.assert_allclose(BruteForce(features).filter(values), expected, rtol=1e-12)
    torch.autograd.gradcheck(
        lambda f, v: BruteForce(f).filter(v, "symmetric"),
        [torch.from_numpy(x).requires_grad_() for x in (features, values)],
    )
