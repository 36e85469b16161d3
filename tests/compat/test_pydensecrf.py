"""pyseg.compat.pydensecrf: programs written for pydensecrf run, and find what it finds.

What it found is in golden cases; where pydensecrf is installed, both run side by side too.
"""

import crf_goldens
import numpy as np
import pytest
import samples
from crf_problems import margin

from pyseg.compat import pydensecrf
from pyseg.compat.pydensecrf import densecrf as ours
from pyseg.compat.pydensecrf import utils

small_cases = pytest.mark.parametrize("name", [name for name in crf_goldens.MEAN_FIELD if not name.startswith("voc")])


@pytest.fixture
def theirs():
    return pytest.importorskip("pydensecrf.densecrf", reason="pydensecrf is not installed")


@pytest.fixture
def their_utils():
    return pytest.importorskip("pydensecrf.utils", reason="pydensecrf is not installed")


def unary(labels, height=30, width=40, seed=0):
    return (4 * np.random.default_rng(seed).random((labels, height * width))).astype(np.float32)


def picture(height=30, width=40):
    return samples.image("photo", (height, width))


# ---- programs: each runs with either library's modules, and returns what it shows


def image_in_short(dcrf, tools):
    """The least that one writes for an image."""
    d = dcrf.DenseCRF2D(40, 30, 5)
    d.setUnaryEnergy(unary(5))
    d.addPairwiseGaussian(sxy=3, compat=3)
    d.addPairwiseBilateral(sxy=80, srgb=13, rgbim=picture(), compat=10)
    return np.array(d.inference(5))


def image_at_length(dcrf, tools):
    """Every argument; the unary term as an object."""
    d = dcrf.DenseCRF2D(40, 30, 5)
    d.setUnary(dcrf.ConstUnary(unary(5)))
    how = {"kernel": dcrf.FULL_KERNEL, "normalization": dcrf.NORMALIZE_AFTER}
    d.addPairwiseGaussian(sxy=(3, 2), compat=3, kernel=dcrf.DIAG_KERNEL, normalization=dcrf.NORMALIZE_BEFORE)
    d.addPairwiseBilateral(sxy=(30, 20), srgb=(13, 10, 20), rgbim=picture(), compat=5, **how)
    d.addPairwiseBilateral((5, 9), (40, 30, 50), picture()[::-1].copy(), 2, dcrf.CONST_KERNEL, dcrf.NORMALIZE_SYMMETRIC)
    d.addPairwiseGaussian(1.5, 1)
    return np.array(d.inference(7))


def label_image(dcrf, tools):
    """From strokes that somebody drew, 0 where there is none, by features of one's own."""
    labels = np.zeros((30, 40), np.int64)
    labels[3:6, 4:20], labels[20:24, 4:9], labels[10:28, 30:33] = 1, 2, 3
    d = dcrf.DenseCRF(30 * 40, 3)
    d.setUnaryEnergy(tools.unary_from_labels(labels, 3, gt_prob=0.7, zero_unsure=True))
    d.addPairwiseEnergy(tools.create_pairwise_gaussian(sdims=(3, 3), shape=(30, 40)), compat=3)
    feats = tools.create_pairwise_bilateral(sdims=(20, 20), schan=(13, 13, 13), img=picture(), chdim=2)
    d.addPairwiseEnergy(feats, compat=10, kernel=dcrf.DIAG_KERNEL, normalization=dcrf.NORMALIZE_SYMMETRIC)
    q = d.inference(5)
    return np.array(q), np.argmax(q, axis=0)


def network(dcrf, tools):
    """From a network's probabilities, with one's own compatibilities."""
    scores = np.random.default_rng(1).random((4, 30, 40))
    d = dcrf.DenseCRF2D(40, 30, 4)
    d.setUnaryEnergy(np.ascontiguousarray(tools.unary_from_softmax(scores / scores.sum(0), scale=0.9)))
    d.addPairwiseGaussian(sxy=(2, 2), compat=np.array([-3, -2, -1, -4], np.float32))
    distance = np.abs(np.arange(4)[:, None] - np.arange(4)).astype(np.float32) + np.eye(4, k=1, dtype=np.float32)
    d.addPairwiseBilateral(10, 20, picture(), distance)
    return np.array(d.inference(4))


def step_by_step(dcrf, tools):
    """With the divergence after each step."""
    d = dcrf.DenseCRF2D(40, 30, 3)
    d.setUnaryEnergy(unary(3))
    d.addPairwiseGaussian(sxy=3, compat=3)
    d.addPairwiseBilateral(sxy=20, srgb=20, rgbim=picture(), compat=4, normalization=dcrf.NORMALIZE_AFTER)
    q, tmp1, tmp2 = d.startInference()
    shown = [np.array(q)]
    divergences = []
    for _ in range(4):
        divergences.append(d.klDivergence(q))
        d.stepInference(q, tmp1, tmp2)
        shown.append(np.array(q))
    return np.stack(shown), np.array(divergences) / 1200


def no_unary(dcrf, tools):
    d = dcrf.DenseCRF(1200, 3)
    d.addPairwiseEnergy(tools.create_pairwise_gaussian((3, 3), (30, 40)), compat=3)
    q, _, _ = d.startInference()
    return np.array(q), np.array(d.inference(2)), d.klDivergence(q)


def linear_unary(dcrf, tools):
    rng = np.random.default_rng(0)
    weights, features = rng.normal(0, 1, (3, 4)).astype(np.float32), rng.normal(0, 1, (4, 1200)).astype(np.float32)
    d = dcrf.DenseCRF2D(40, 30, 3)
    d.setUnary(dcrf.LogisticUnary(weights, features))
    d.addPairwiseGaussian(3, 2)
    return np.array(d.inference(3))


def slices(dcrf, tools):
    """A volume of two channels, which has no class of its own."""
    volume = samples.image("cells", (5, 9, 8), 2, "float32")
    d = dcrf.DenseCRF(5 * 9 * 8, 2)
    d.setUnaryEnergy(unary(2, 5 * 9, 8))
    d.addPairwiseEnergy(tools.create_pairwise_gaussian((1.3, 2, 2), (5, 9, 8)), compat=2)
    d.addPairwiseEnergy(tools.create_pairwise_bilateral((2.1, 4, 4), 0.2, volume, chdim=3), compat=3)
    grey = tools.create_pairwise_bilateral((2.1, 4, 4), (0.2,), volume[..., 0])
    d.addPairwiseEnergy(grey, 1, dcrf.CONST_KERNEL, dcrf.NO_NORMALIZATION)
    return np.array(d.inference(3))


PROGRAMS = [image_in_short, image_at_length, label_image, network, step_by_step, no_unary, linear_unary, slices]


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_show_the_same(program, theirs, their_utils):
    results = [program(ours, utils), program(theirs, their_utils)]
    for mine, expected in zip(*[r if isinstance(r, tuple) else (r,) for r in results], strict=True):
        np.testing.assert_allclose(mine, expected, atol=5e-5)


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_run_without_pydensecrf(program):
    result = program(ours, utils)
    first = result[0] if isinstance(result, tuple) else result
    assert first.dtype == np.float32
    assert np.isfinite(first).all()
    if program is not no_unary:
        np.testing.assert_allclose(first.sum(-2), 1, atol=1e-5)


def test_pydensecrf_is_not_imported(run_python):
    run_python(
        "import sys, numpy as np; from pyseg.compat import pydensecrf as p; d = p.densecrf.DenseCRF2D(9, 9, 2); "
        "d.addPairwiseGaussian(3, 3); d.inference(1); assert not {'pydensecrf', 'torch'} & set(sys.modules)"
    )


def test_the_package_reaches_its_modules():
    assert pydensecrf.densecrf is ours
    assert pydensecrf.utils is utils


def test_constants_are_theirs(theirs):
    for name in ("CONST_KERNEL", "DIAG_KERNEL", "FULL_KERNEL"):
        assert getattr(ours, name) == getattr(theirs, name)
    for name in ("NO_NORMALIZATION", "NORMALIZE_BEFORE", "NORMALIZE_AFTER", "NORMALIZE_SYMMETRIC"):
        assert getattr(ours, name) == getattr(theirs, name)


# ---- golden cases


def crf_of(case):
    """A golden case as a program would have it."""
    if case.kernels and not any(kernel["type"].endswith("_nd") for kernel in case.kernels):
        d = ours.DenseCRF2D(case.shape[1], case.shape[0], len(case.unary))
    else:
        d = ours.DenseCRF(int(np.prod(case.shape)), len(case.unary))
    d.setUnaryEnergy(case.unary.reshape(len(case.unary), -1))
    for kernel in case.kernels:
        how = {
            "normalization": {
                "none": ours.NO_NORMALIZATION,
                "before": ours.NORMALIZE_BEFORE,
                "after": ours.NORMALIZE_AFTER,
                "symmetric": ours.NORMALIZE_SYMMETRIC,
            }[kernel["normalization"]],
            "compat": np.array(kernel["compat"], np.float32) if np.ndim(kernel["compat"]) else kernel["compat"],
        }
        if kernel["type"] == "gaussian":
            d.addPairwiseGaussian(kernel["sxy"], **how)
        elif kernel["type"] == "bilateral":
            d.addPairwiseBilateral(kernel["sxy"], kernel["srgb"], case.image, **how)
        elif kernel["type"] == "gaussian_nd":
            d.addPairwiseEnergy(utils.create_pairwise_gaussian(kernel["sdims"], case.shape), **how)
        else:
            image = case.image.reshape(*case.shape, -1)
            feats = utils.create_pairwise_bilateral(kernel["sdims"], kernel["schan"], image, image.ndim - 1)
            d.addPairwiseEnergy(feats, **how)
    return d


def check_beliefs(case, n_iter, q):
    found = case.differences(n_iter, q)
    assert found["mean"] <= 1e-6
    assert found["above 1e-4"] <= 1e-3
    labels = case.arrays[f"labels_{n_iter}"].ravel()
    assert ((q.argmax(0) == labels) | (margin(q.T) < 1e-3)).all()


@small_cases
def test_beliefs_are_pydensecrfs(name):
    case = crf_goldens.mean_field(name)
    d = crf_of(case)
    for n_iter in case.meta["iterations"]:
        check_beliefs(case, n_iter, d.inference(n_iter))


@small_cases
def test_steps_and_divergences_are_pydensecrfs(name):
    """Whose divergence sums float32."""
    case = crf_goldens.mean_field(name)
    d = crf_of(case)
    q, a, b = d.startInference()
    for n_iter in range(max(case.meta["iterations"]) + 1):
        if n_iter:
            d.stepInference(q, a, b)
        if n_iter in case.meta["iterations"]:
            check_beliefs(case, n_iter, q)
            assert abs(d.klDivergence(q) / case.expected(n_iter)["kl"] - 1) < 2e-3


# ---- what it takes that pydensecrf does not


def test_arrays_may_have_any_strides_and_floating_type():
    energies, image = unary(3), picture()
    expected = None
    for change in (
        lambda x: x,
        np.asfortranarray,
        lambda x: x.astype(np.float64) if x.dtype == np.float32 else x,
        lambda x: np.repeat(x, 2, 1)[:, ::2],
        lambda x: x[::-1][::-1],
        lambda x: x.astype(x.dtype.newbyteorder()),
        lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
    ):
        d = ours.DenseCRF2D(40, 30, 3)
        given = change(energies), change(image)
        copies = [np.array(x) for x in given]
        d.setUnaryEnergy(given[0])
        d.addPairwiseBilateral(20, 20, given[1], 4)
        q = d.inference(3)
        expected = q if expected is None else expected
        np.testing.assert_array_equal(q, expected)
        for x, copy in zip(given, copies, strict=True):
            np.testing.assert_array_equal(x, copy)


def test_what_is_given_may_change_afterwards():
    energies, image, features = unary(3), picture(), utils.create_pairwise_gaussian((2, 2), (30, 40))
    results = []
    for spoil in (False, True):
        d = ours.DenseCRF2D(40, 30, 3)
        d.setUnaryEnergy(energies)
        d.addPairwiseBilateral(20, 20, image, 4)
        d.addPairwiseEnergy(features, 2)
        if spoil:
            energies[...], image[...], features[...] = 0, 0, 0
        results.append(d.inference(3))
        results.append(d.startInference()[0])
    np.testing.assert_array_equal(results[0], results[2])
    np.testing.assert_array_equal(results[1], results[3])


def test_the_number_of_iterations_goes_by_the_readmes_name_too():
    d = ours.DenseCRF2D(40, 30, 3)
    d.setUnaryEnergy(unary(3))
    d.addPairwiseGaussian(3, 3)
    np.testing.assert_array_equal(d.inference(n_iterations=4), d.inference(4))
    np.testing.assert_array_equal(d.inference(niter=4), d.inference(4))


def test_compatibilities_may_be_lists():
    results = []
    for compat in ([-1, -2.5], np.array([-1, -2.5], np.float32), np.array([-1, -2.5])):
        d = ours.DenseCRF2D(40, 30, 2)
        d.setUnaryEnergy(unary(2))
        d.addPairwiseGaussian(3, compat)
        results.append(d.inference(3))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@pytest.mark.parametrize(
    ("labels", "never"),
    [(2, 0), (3, 0), (5, 0), (2, -1), (3, -1), (5, -1)],
)
def test_an_infinite_energy_is_a_label_that_never_is(labels, never):
    """As of probabilities without clipping."""
    energies = unary(labels)
    without = np.delete(energies, never, 0)
    energies[never] = np.inf
    results = []
    for given in (energies, without):
        d = ours.DenseCRF2D(40, 30, len(given))
        d.setUnaryEnergy(given)
        d.addPairwiseGaussian(3, 3)
        d.addPairwiseBilateral(20, 20, picture(), 4)
        results.append(d.inference(5))
    np.testing.assert_allclose(np.delete(results[0], never, 0), results[1], atol=5e-6)
    assert results[0][never].max() < 1e-20
