"""pyseg.compat.skimage.quickshift: scikit-image's signature, and its labels and trees, value for value."""

import inspect
import subprocess
import sys

import numpy as np
import pytest
import samples

import pyseg
from pyseg import _runtime
from pyseg.compat._quickshift import _smooth
from pyseg.compat.skimage import quickshift

skimage = pytest.importorskip("skimage")

from skimage import data, segmentation  # noqa: E402

PHOTOGRAPHS = ("astronaut", "coffee", "rocket", "chelsea", "retina", "hubble_deep_field", "colorwheel")
OPTIONS = [
    {},
    {"kernel_size": 3, "max_dist": 6},
    {"kernel_size": 2.3, "max_dist": 30, "ratio": 0.5, "sigma": 1.2, "rng": 7},
    {"kernel_size": 3, "max_dist": 12, "convert2lab": False, "ratio": 50},
    {"kernel_size": 2, "max_dist": 0.1},
]


def same(image, **options):
    """Labels, with the tree and without, are scikit-image's; they are given back."""
    labels, *tree = segmentation.quickshift(image, return_tree=True, **options)
    mine, *my_tree = quickshift(image, return_tree=True, **options)
    assert mine.dtype == labels.dtype
    np.testing.assert_array_equal(mine, labels)
    for ours, theirs in zip(my_tree, map(np.asarray, tree), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(quickshift(image, **options), labels)
    return labels


def test_signature_is_scikit_images():
    parameters = [inspect.signature(f).parameters.values() for f in (quickshift, segmentation.quickshift)]
    ours, theirs = ([(p.name, p.kind, p.default) for p in each] for each in parameters)
    assert ours == theirs


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs_have_scikit_images_labels(name, options):
    image = getattr(data, name)()[:180, :201, :3]
    segments = same(image, **options).max() + 1
    assert segments > 5


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", ["astronaut", "colorwheel", "retina"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_photographs_in_float32_have_scikit_images_labels(name, dtype, options):
    """There sums are rounded in float32; colorwheel and retina are flat over large areas, where that decides all."""
    same((getattr(data, name)()[:120, :151, :3] / 255).astype(dtype), **options)


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "int16", "uint16", "int32", "uint64", "float64", ">f4", ">u2", "longdouble"]
)
def test_other_dtypes(dtype):
    image = samples.image("photo", (40, 51))
    same((image // 2).astype(dtype), kernel_size=2)


@pytest.mark.parametrize("kind", samples.KINDS)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_other_images(kind, dtype):
    image = samples.image(kind, (40, 51), 3, dtype)
    same(image, kernel_size=2)
    same(image[..., 0], kernel_size=2, ratio=30, convert2lab=False, sigma=0.7)
    same(np.dstack([image, image[::-1]]), kernel_size=2, ratio=10, convert2lab=False)


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (2, 2), (5, 40)])
def test_small_images(shape):
    for dtype in ("uint8", "float32"):
        same(samples.image("noise", shape, 3, dtype), sigma=1.0)


def test_smoothing_beyond_the_image():
    same(samples.image("photo", (11, 90)), kernel_size=2, sigma=8.0)
    image = samples.image("cells", (9, 12), None, "float64")
    for sigma in (25.0, 1e3):  # close to the mean, and close to scikit-image's
        expected = skimage.filters.gaussian(image, sigma, mode="reflect")
        np.testing.assert_allclose(_smooth(_smooth(image, 0, sigma), 1, sigma), expected, rtol=1e-12)


@pytest.mark.parametrize("axis", [0, 1, -2])
def test_channel_axis(axis):
    same(np.moveaxis(samples.image("photo", (30, 41)), -1, axis), kernel_size=2, channel_axis=axis)


def test_options_may_be_numpys():
    image = samples.image("photo", (30, 41), 3, "float32")
    same(image, ratio=np.float64(0.7), kernel_size=np.float32(2.3), max_dist=np.int64(5), rng=np.int32(1).item())


@pytest.fixture
def settings_put_back():
    threads = pyseg.get_num_threads()
    yield
    pyseg.set_num_threads(threads)
    _runtime.native().set_isa("")


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_threads_and_instruction_sets_agree(dtype, isa, settings_put_back):
    try:
        _runtime.native().set_isa(isa)
    except ValueError as error:
        pytest.skip(str(error))
    image = samples.image("photo", (50, 61), 3, dtype)
    for threads in (1, 2, 4):
        pyseg.set_num_threads(threads)
        same(image, kernel_size=3)


def test_a_generator_is_a_seed():
    image = samples.image("photo", (30, 41))
    np.testing.assert_array_equal(quickshift(image, rng=np.random.default_rng(3)), quickshift(image, rng=3))


def test_scikit_image_is_not_imported():
    code = (
        "import numpy as np, sys; from pyseg.compat.skimage import quickshift; "
        "quickshift(np.zeros((9, 9, 3)), sigma=1); assert not {'skimage', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize(
    ("image", "options", "rule"),
    [
        ((9, 9, 2), {}, "convert2lab needs an image of 3 channels"),
        ((9, 9, 3, 3), {}, "image must be"),
        ((0, 9, 3), {}, "image must not be empty"),
        ((9, 9, 3), {"kernel_size": 0.9}, "kernel_size must be >= 1, got 0.9"),
        ((9, 9, 3), {"sigma": -1}, "sigma must be >= 0, got -1"),
        ((9, 9, 3), {"rng": -1}, "rng must be >= 0, got -1"),
    ],
    ids=str,
)
def test_errors_say_the_rule(image, options, rule):
    with pytest.raises(ValueError, match=f"quickshift: {rule}"):
        quickshift(np.zeros(image), **options)
