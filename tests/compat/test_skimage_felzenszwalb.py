"""pyseg.compat.skimage.felzenszwalb: scikit-image's signature, conventions and errors, and its labels."""

import inspect
import subprocess
import sys
import warnings

import numpy as np
import pytest
import samples
from hypothesis import given, settings
from hypothesis import strategies as st

import pyseg
from pyseg.compat.skimage import felzenszwalb

theirs = pytest.importorskip("skimage.segmentation").felzenszwalb
SETTINGS = [{}, {"scale": 100, "sigma": 0.5, "min_size": 50}, {"scale": 300, "sigma": 0.7, "min_size": 100}]


def photograph(name, height=300, width=400):
    return getattr(pytest.importorskip("skimage.data"), name)()[:height, :width]


def stable(image, *numbers, **options):
    """scikit-image's labels, with a stable sort of the edges."""
    unstable = np.argsort
    np.argsort = lambda values: unstable(values, kind="stable")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of more than 3 channels
            return theirs(image, *numbers, **options)
    finally:
        np.argsort = unstable


def check(image, expected, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        labels = felzenszwalb(image, **options)
    assert labels.dtype == expected.dtype == np.int64
    np.testing.assert_array_equal(labels, expected)


def test_signature_is_scikit_images():
    ours, its = ([(p.name, p.kind, p.default) for p in inspect.signature(f).parameters.values()]
                 for f in (felzenszwalb, theirs))  # fmt: skip
    assert ours == its


def test_scikit_image_is_not_imported():
    code = (
        "import numpy as np, sys; from pyseg.compat.skimage import felzenszwalb; "
        "felzenszwalb(np.eye(9)); assert not {'skimage', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_the_package_reaches_it():
    assert pyseg.compat.skimage.felzenszwalb is felzenszwalb


# ---- its labels: where no two edges are equal, or smoothing left few equal, as they come


@pytest.mark.parametrize("options", SETTINGS, ids=str)
@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea"])
def test_labels_of_photographs_are_the_same(name, options):
    image = photograph(name)
    check(image, theirs(image, **options), **options)


@pytest.mark.parametrize("name", ["camera", "coins", "moon"])
def test_labels_of_grey_photographs_are_the_same(name):
    image = photograph(name)
    check(image, theirs(image, channel_axis=None), channel_axis=None)


@pytest.mark.parametrize("sigma", [0, 0.3, 0.8, 2.0, 3.3])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_labels_of_continuous_values_are_the_same(channels, sigma):
    image = np.random.default_rng(channels).random((180, 170, channels))
    for scale in (1, 100, 1000):
        check(image, theirs(image, scale, sigma), scale=scale, sigma=sigma)


def test_the_ops_labels_are_the_same_too():
    image = photograph("astronaut")
    np.testing.assert_array_equal(pyseg.felzenszwalb(image), theirs(image))


# ---- and with a stable sort, on anything


@pytest.mark.parametrize("options", [*SETTINGS, {"sigma": 0, "scale": 30}], ids=str)
@pytest.mark.parametrize("name", ["rocket", "retina", "page"])
def test_labels_of_images_with_equal_edges_are_those_of_a_stable_sort(name, options):
    image = photograph(name)
    axis = None if image.ndim == 2 else -1
    check(image, stable(image, **options, channel_axis=axis), **options, channel_axis=axis)


@st.composite
def problems(draw):
    shape = (draw(st.integers(1, 300)), draw(st.integers(1, 300)))
    channels = draw(st.sampled_from([None, 1, 2, 3, 3, 3, 4, 9]))
    kind, dtype = draw(st.sampled_from(samples.KINDS)), draw(st.sampled_from(samples.DTYPES))
    options = {
        "scale": 10 ** draw(st.floats(-2, 5)),
        "sigma": draw(st.one_of(st.just(0), st.floats(0, 3), st.floats(3, 30))),
        "min_size": draw(st.sampled_from([0, 1, 2, 20, 300, 10**5])),
        "channel_axis": None if channels is None else -1,
    }
    return samples.image(kind, shape, channels, dtype, draw(st.integers(0, 2**32 - 1))), options


@settings(max_examples=100)
@given(problems())
def test_labels_of_anything_are_those_of_a_stable_sort(problem):
    image, options = problem
    check(image, stable(image, **options), **options)


@pytest.mark.parametrize("scale", [0, -1, -1e300, 1e-320, 1e300, np.inf])
def test_scales_without_sense_are_taken_as_there(scale):
    image = photograph("coffee", 60, 70)
    for min_size in (0, 20):
        check(image, stable(image, scale, min_size=min_size), scale=scale, min_size=min_size)


@pytest.mark.parametrize("min_size", [-5, -(2**40), True, np.int8(9), 2**40])
def test_sizes_without_sense_are_taken_as_there(min_size):
    image = photograph("coffee", 60, 70)
    check(image, stable(image, min_size=min_size), min_size=min_size)


# ---- its conventions


DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32"]


@pytest.mark.parametrize("dtype", [*DTYPES, "float64", ">i2", ">f4"])
def test_dtypes(dtype):
    values = photograph("coffee", 60, 70)
    kind = np.dtype(dtype).kind
    if kind == "f":
        image = (values / 255).astype(dtype)
    elif kind == "b":
        image = values > 90
    else:
        image = ((values / 255 - (kind == "i") / 2) * np.iinfo(dtype).max).astype(dtype)
    check(image, stable(image, 10), scale=10)


def test_axes():
    image = photograph("coffee", 60, 70)
    for axis in (0, 1, 2, -2, -3):
        moved = np.moveaxis(image, -1, axis)
        check(moved, stable(moved, channel_axis=axis), channel_axis=axis)
    grey = image[..., 0]
    for axis in (None, 0, 1, -1, -2):  # an axis other than the last makes it the transposed image there
        check(grey, stable(grey, channel_axis=axis), channel_axis=axis)
    check(grey[0], stable(grey[0], channel_axis=None), channel_axis=None)


def test_more_than_three_channels_warn():
    image = np.random.default_rng(0).random((20, 20, 4))
    for function in (felzenszwalb, theirs):
        with pytest.warns(RuntimeWarning, match="Got image with third dimension of 4. This image will be interpreted"):
            function(image)


def test_errors_of_both():
    image = np.zeros((9, 9, 3))
    for function in (felzenszwalb, theirs):
        with pytest.raises(ValueError, match="works only on single or multi-channel 2d images"):
            function(image, channel_axis=None)
        with pytest.raises(ValueError, match=r"[Ss]igma"):
            function(image, sigma=-1)
        for wrong in ({"min_size": 2.5}, {"min_size": "2"}, {"scale": "1"}, {"scale": None}):
            with pytest.raises((TypeError, ValueError)):
                function(image, **wrong)


@pytest.mark.parametrize(
    "image", [np.zeros((0, 5)), np.zeros((5, 5, 0)), np.full((5, 5), np.nan), np.zeros((2, 2, 2, 2)), [["a"]], [[1j]]]
)
def test_errors_of_its_own(image):
    with pytest.raises(ValueError, match="felzenszwalb: image"):
        felzenszwalb(image)
