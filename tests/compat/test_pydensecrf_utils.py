"""pyseg.compat.pydensecrf: its utils against hand-worked values and pydensecrf's own; and errors in words."""

import re

import numpy as np
import pytest

from pyseg.compat.pydensecrf import densecrf as dcrf
from pyseg.compat.pydensecrf import utils

RNG = np.random.default_rng(3)


@pytest.fixture
def theirs():
    return pytest.importorskip("pydensecrf.utils", reason="pydensecrf is not installed")


# ---- utils


def test_energies_of_labels_by_hand():
    labels = np.array([[1, 0], [3, 2]])
    energy = utils.unary_from_labels(labels, 3, 0.8)
    sure, other, unsure = -np.log(0.8), -np.log(0.1), np.log(3)
    expected = np.array([[sure, unsure, other, other], [other, unsure, other, sure], [other, unsure, sure, other]])
    np.testing.assert_allclose(energy, expected, rtol=1e-6)
    assert energy.dtype == np.float32
    assert energy.flags.c_contiguous
    from_zero = utils.unary_from_labels(np.array([0, 2, 1]), 3, 0.8, zero_unsure=False)
    np.testing.assert_allclose(from_zero, expected[:, [0, 2, 3]], rtol=1e-6)


@pytest.mark.parametrize("zero_unsure", [True, False])
def test_energies_of_labels_are_theirs(zero_unsure, theirs):
    labels = RNG.integers(0, 5, (6, 7))
    count = 4 if zero_unsure else 5
    np.testing.assert_allclose(
        utils.unary_from_labels(labels, count, 0.6, zero_unsure),
        theirs.unary_from_labels(labels, count, 0.6, zero_unsure),
        rtol=1e-6,
    )


def test_one_label_is_no_division_by_zero():
    np.testing.assert_allclose(utils.unary_from_labels(np.array([1, 0]), 1, 0.5), [[np.log(2), 0]], rtol=1e-6)


def test_energies_of_probabilities_by_hand():
    energy = utils.unary_from_softmax(np.array([[[1.0, 0.25]], [[0.0, 0.75]]]))
    np.testing.assert_allclose(energy, -np.log([[1, 0.25], [1e-5, 0.75]]), rtol=1e-6)
    assert energy.dtype == np.float32
    half = utils.unary_from_softmax(np.array([[1.0], [0.0]]), scale=0.5)
    np.testing.assert_allclose(half, -np.log([[0.75], [0.25]]), rtol=1e-6)
    assert utils.unary_from_softmax(np.array([[1.0], [0.0]]), clip=None)[1, 0] == np.inf


@pytest.mark.parametrize("options", [{}, {"scale": 0.7}, {"clip": 0.01}, {"scale": 1.0, "clip": None}], ids=str)
def test_energies_of_probabilities_are_theirs(options, theirs):
    probabilities = RNG.dirichlet(np.ones(4), (5, 6)).transpose(2, 0, 1) + 1e-6
    expected = theirs.unary_from_softmax(probabilities, **options)
    np.testing.assert_allclose(utils.unary_from_softmax(probabilities, **options), expected, rtol=1e-6)


def test_features_by_hand():
    np.testing.assert_array_equal(
        utils.create_pairwise_gaussian((2, 4), (2, 3)), [[0, 0, 0, 0.5, 0.5, 0.5], [0, 0.25, 0.5, 0, 0.25, 0.5]]
    )
    image = np.array([[[8, 2], [4, 6]]], np.uint8)
    expected = [[0, 0], [0, 0.5], [4, 2], [0.5, 1.5]]
    for chdim, view in ((2, image), (0, np.moveaxis(image, 2, 0)), (1, np.moveaxis(image, 2, 1))):
        np.testing.assert_array_equal(utils.create_pairwise_bilateral((3, 2), (2, 4), view, chdim), expected)
    np.testing.assert_array_equal(utils.create_pairwise_bilateral((3, 2), 2, image[..., 0]), expected[:3])


def test_features_are_theirs(theirs):
    image = RNG.integers(0, 256, (6, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(
        utils.create_pairwise_gaussian((3, 4), (6, 7)), theirs.create_pairwise_gaussian((3, 4), (6, 7))
    )
    for scales in ((5, 6, 7), 9.5):
        arguments = {"sdims": (3, 4), "schan": scales, "img": image, "chdim": 2}
        np.testing.assert_array_equal(
            utils.create_pairwise_bilateral(**arguments), theirs.create_pairwise_bilateral(**arguments)
        )


def test_deprecated_names_warn(theirs):
    labels, probabilities = RNG.integers(0, 4, 20), RNG.dirichlet(np.ones(3), 20).T
    with pytest.warns(DeprecationWarning, match="unary_from_labels") as caught:
        energy = utils.compute_unary(labels, 3, 0.6)
    assert caught[0].filename == __file__
    np.testing.assert_allclose(energy, theirs.compute_unary(labels, 3, 0.6), rtol=1e-6)
    for options in ({}, {"GT_PROB": 0.6}):
        with pytest.warns(DeprecationWarning, match="unary_from_softmax"):
            energy = utils.softmax_to_unary(probabilities, **options)
        np.testing.assert_allclose(energy, theirs.softmax_to_unary(probabilities, **options), rtol=1e-6)


# ---- errors


def crf(labels=2):
    d = dcrf.DenseCRF2D(4, 3, labels)
    d.setUnaryEnergy(np.zeros((labels, 12), np.float32))
    return d


RGB = np.zeros((3, 4, 3), np.uint8)
U = np.zeros((2, 12), np.float32)
NAN = np.where(np.arange(12) == 5, np.nan, U)
INF = np.where(np.arange(12) == 5, np.inf, U)
READ_ONLY = np.frombuffer(U.tobytes(), np.float32).reshape(2, 12)

ERRORS = [
    (lambda: dcrf.DenseCRF(0, 2), ValueError, "nvar must be >= 1, got 0"),
    (lambda: dcrf.DenseCRF(-1, 2), ValueError, "nvar must be >= 1, got -1"),
    (lambda: dcrf.DenseCRF(3.5, 2), TypeError, "nvar must be an integer"),
    (lambda: dcrf.DenseCRF(3, 0), ValueError, "nlabels must be >= 1"),
    (lambda: dcrf.DenseCRF2D(0, 3, 2), ValueError, "w must be >= 1"),
    (lambda: dcrf.DenseCRF2D(4, -3, 2), ValueError, "h must be >= 1"),
    (lambda: crf().setUnaryEnergy(U[:, :11]), ValueError, "Bad shape for unary energy (Need (2, 12), got (2, 11))"),
    (lambda: crf().setUnaryEnergy(U.reshape(2, 3, 4)), ValueError, "u must have 2 dimensions, got [2, 3, 4]"),
    (lambda: crf().setUnaryEnergy(None), TypeError, "u must be an array of numbers"),
    (lambda: crf().setUnaryEnergy(U > 0), TypeError, "u must be an array of numbers, got bool"),
    (lambda: crf().setUnaryEnergy(NAN), ValueError, "unary energies must be numbers > -infinity"),
    (lambda: crf().setUnaryEnergy(-INF), ValueError, "unary energies must be numbers > -infinity"),
    (lambda: crf().setUnaryEnergy(INF), ValueError, "a point must have a label of finite energy"),
    (lambda: crf().setUnaryEnergy(np.full((2, 12), 1e300)), ValueError, "a point must have a label of finite energy"),
    (lambda: crf().setUnary(U), TypeError, "setUnary takes a ConstUnary or LogisticUnary, got ndarray"),
    (lambda: dcrf.LogisticUnary(np.eye(2), np.zeros((3, 12))), ValueError, "L must be [nlabels, n] and f [n, nvar]"),
    (lambda: crf().addPairwiseGaussian(0, 3), ValueError, "sxy must be > 0 and finite, got 0"),
    (lambda: crf().addPairwiseGaussian(-1, 3), ValueError, "sxy must be > 0 and finite, got -1"),
    (lambda: crf().addPairwiseGaussian(np.nan, 3), ValueError, "sxy must be a number, got nan"),
    (lambda: crf().addPairwiseGaussian((3,), 3), ValueError, "sxy must be a number or 2 numbers, got 1"),
    (lambda: crf().addPairwiseGaussian("3", 3), TypeError, "sxy must be a number or 2 numbers, got '3'"),
    (lambda: crf().addPairwiseGaussian(3, np.nan), ValueError, "compat must be a number, got nan"),
    (lambda: crf().addPairwiseGaussian(3, np.inf), ValueError, "compat must be finite"),
    (lambda: crf().addPairwiseGaussian(3, "3"), TypeError, "compat must be a number"),
    (lambda: crf().addPairwiseGaussian(3, None), TypeError, "compat must be a number"),
    (lambda: crf().addPairwiseGaussian(3, np.ones(3)), ValueError, "compat must be a number, [2] or [2, 2], got [3]"),
    (lambda: crf().addPairwiseGaussian(3, np.ones((2, 3))), ValueError, "compat must be a number, [2] or [2, 2]"),
    (lambda: crf().addPairwiseGaussian(3, np.ones((2,) * 3)), ValueError, "dimension >2 not meaningful"),
    (lambda: crf().addPairwiseGaussian(3, [np.nan, 1]), ValueError, "compat must be finite"),
    (lambda: crf().addPairwiseGaussian(3, 3, kernel=7), ValueError, "7 is not a valid KernelType"),
    (lambda: crf().addPairwiseGaussian(3, 3, normalization=7), ValueError, "7 is not a valid NormalizationType"),
    (lambda: crf().addPairwiseBilateral(3, 3, RGB[:2], 3), ValueError, "Bad shape for pairwise bilateral (Need (3, 4"),
    (lambda: crf().addPairwiseBilateral(3, 3, RGB[..., 0], 3), ValueError, "Bad shape for pairwise bilateral"),
    (lambda: crf().addPairwiseBilateral(3, 3, RGB[..., :2], 3), ValueError, "only works for RGB images"),
    (lambda: crf().addPairwiseBilateral(3, 3, RGB / 255, 3), TypeError, "rgbim must be uint8, got float64"),
    (lambda: crf().addPairwiseBilateral(3, 0, RGB, 3), ValueError, "srgb must be > 0 and finite, got 0"),
    (lambda: crf().addPairwiseBilateral(3, (1, 2), RGB, 3), ValueError, "srgb must be a number or 3 numbers, got 2"),
    (lambda: crf().addPairwiseEnergy(U[:, :3], 3), ValueError, "Bad shape for pairwise energy (Need (?, 12), got"),
    (lambda: crf().addPairwiseEnergy(U[:0], 3), ValueError, "features must have 1 .. 16 dimensions, got 0"),
    (lambda: crf().addPairwiseEnergy(np.zeros((17, 12)), 3), ValueError, "must have 1 .. 16 dimensions, got 17"),
    (lambda: crf().addPairwiseEnergy(NAN, 3), ValueError, "features must be finite"),
    (lambda: crf().inference(), TypeError, "inference needs the number of iterations"),
    (lambda: crf().inference(-1), ValueError, "niter must be >= 0, got -1"),
    (lambda: crf().inference(2.0), TypeError, "niter must be an integer, got 2.0"),
    (lambda: crf().stepInference(U[:, :4]), ValueError, "Q must be [2, 12], got [2, 4]"),
    (lambda: crf().stepInference(U.astype(float)), TypeError, "Q must be a float32 array"),
    (lambda: crf().stepInference(READ_ONLY), ValueError, "Q must be writable"),
    (lambda: crf().stepInference(NAN.astype(np.float32)), ValueError, "Q must be finite"),
    (lambda: crf().klDivergence([[1.0]]), TypeError, "Q must be a float32 array"),
    (lambda: utils.unary_from_labels(np.array([1]), 2, 1.0), ValueError, "gt_prob must be within (0, 1), got 1.0"),
    (lambda: utils.unary_from_labels(np.array([3]), 2, 0.5), ValueError, "labels must be 0 .. 2, got 3 .. 3"),
    (lambda: utils.unary_from_labels(np.array([2]), 2, 0.5, False), ValueError, "labels must be 0 .. 1, got 2 .. 2"),
    (lambda: utils.unary_from_labels(np.array([-1]), 2, 0.5), ValueError, "labels must be 0 .. 2, got -1 .. -1"),
    (lambda: utils.unary_from_labels(np.array([1.0]), 2, 0.5), TypeError, "labels must be integers, got float64"),
    (lambda: utils.unary_from_softmax(np.ones((2, 3)), scale=0), ValueError, "scale must be within (0, 1], got 0"),
    (lambda: utils.unary_from_softmax(np.ones((0, 3))), ValueError, "sm must be [n_labels, ...], got [0, 3]"),
    (lambda: utils.create_pairwise_gaussian((3, 0), (4, 5)), ValueError, "sdims must be > 0 and finite"),
    (lambda: utils.create_pairwise_gaussian((3,), (4, 5)), ValueError, "sdims must be 2 numbers, got [1]"),
    (lambda: utils.create_pairwise_bilateral((3, 3), (1, 2), RGB, 2), ValueError, "schan must be 3 numbers, got [2]"),
    (lambda: utils.create_pairwise_bilateral((3, 3), 3, RGB, 3), ValueError, "chdim must be -1 .. 2, got 3"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "words"), ERRORS)
def test_errors(call, error, words):
    with pytest.raises(error, match=re.escape(words)):
        call()


def test_a_failed_call_changes_nothing():
    d = crf()
    before = d.inference(1)
    for call in (
        lambda: d.addPairwiseGaussian(3, np.ones(5)),
        lambda: d.addPairwiseBilateral(3, 3, RGB[:2], 3),
        lambda: d.addPairwiseEnergy(NAN, 3),
        lambda: d.setUnaryEnergy(NAN),
    ):
        with pytest.raises(ValueError, match=r"\w"):
            call()
    np.testing.assert_array_equal(d.inference(1), before)
