"""pyseg.compat.skimage.slic: scikit-image's signature, conventions and errors, and no worse segments than its own."""

import inspect
import subprocess
import sys

import numpy as np
import pytest

import pyseg
from pyseg.compat.skimage import slic

RNG = np.random.default_rng(7)


def picture(*shape):
    """Random values 3 .. 103, in flat patches of 8."""
    spatial, channels = shape[:-1], shape[-1]
    blocks = RNG.integers(0, 90, [-(-n // 8) for n in spatial] + [channels])
    for axis, n in enumerate(spatial):
        blocks = np.repeat(blocks, 8, axis).take(range(n), axis)
    values = (blocks + RNG.integers(3, 14, shape)).astype(np.uint8)
    values.flat[0], values.flat[-1] = 3, 103
    return values


RGB = picture(48, 61, 3)
GREY = RGB[..., 0].copy()
VOLUME = picture(9, 24, 30, 1)[..., 0]
for corner in (GREY, VOLUME):
    corner.flat[-1] = 103


def unit(values):
    return (values.astype(np.float64) - 3) / 100


def renumbered(labels):
    """Labels in order of first appearance."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].reshape(labels.shape)


def test_signature_is_scikit_images():
    theirs = pytest.importorskip("skimage.segmentation").slic
    parameters = [inspect.signature(f).parameters.values() for f in (slic, theirs)]
    ours, theirs = ([(p.name, p.kind, p.default) for p in each] for each in parameters)
    assert ours == theirs


def test_scikit_image_is_not_imported():
    code = (
        "import numpy as np, sys; from pyseg.compat.skimage import slic; "
        "slic(np.eye(9), channel_axis=None); assert not {'skimage', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_the_package_reaches_it():
    assert pyseg.compat.skimage.slic is slic


@pytest.mark.parametrize("start", [0, 1])
def test_labels_are_int64_and_dense_from_start_label(start):
    labels = slic(RGB, 30, start_label=start)
    assert labels.dtype == np.int64
    assert labels.shape == RGB.shape[:2]
    assert np.array_equal(np.unique(labels), np.arange(start, labels.max() + 1))
    assert 12 <= labels.max() + 1 - start <= 40


def test_default_start_label_is_1():
    assert slic(RGB).min() == 1
    assert np.array_equal(slic(RGB), slic(RGB, start_label=0) + 1)


INTEGERS = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]


@pytest.mark.parametrize("dtype", [*INTEGERS, "float16", "float32", "float64", ">u2", ">f4", "longdouble"])
@pytest.mark.parametrize("masked", [False, True])
def test_neither_dtype_nor_magnitude_matter(dtype, masked):
    mask = None
    if masked:
        mask = np.ones(RGB.shape[:2], bool)
        mask[:5] = False
        mask[10:20, 10:20] = False
    values = RGB.copy()
    values[8, 5], values[-1, -1] = 3, 103  # the range, inside the mask
    expected = slic(unit(values), 40, mask=mask)
    assert np.array_equal(slic(values.astype(dtype), 40, mask=mask), expected)
    if dtype not in {"int8", "uint8", "float16"}:
        assert np.array_equal(slic(values.astype(dtype) * 256 + 512, 40, mask=mask), expected)


def test_large_images_go_through_a_table_of_the_same_values():
    values = np.tile(RGB, (6, 5, 1))[:256, :256].astype(np.uint16) * 200  # at least 2**16 values
    assert np.array_equal(slic(values, 200), slic(values.astype(np.uint32), 200))
    signed = values.astype(np.int32) - 2**14
    assert np.array_equal(slic(signed.astype(np.int16), 200), slic(signed.astype(np.float64), 200))


def test_bool_is_0_and_1():
    checks = np.indices((20, 20)).sum(0) // 5 % 2
    expected = slic(checks.astype(np.float32), 16, compactness=0.1, channel_axis=None)
    assert np.array_equal(slic(checks.astype(bool), 16, compactness=0.1, channel_axis=None), expected)


def test_the_range_is_that_of_all_channels_inside_the_mask():
    mask = np.zeros(RGB.shape[:2], bool)
    mask[4:40, 6:50] = True
    wild = np.where(mask[..., None], RGB.astype(np.float64), np.nan)
    wild[:2] = np.inf
    wild[45:] = -1e300
    inside = RGB[mask]
    scaled = (RGB - float(inside.min())) / (float(inside.max()) - inside.min())
    expected = pyseg.slic(scaled, 20, 10 / 0.58, sigma=0, min_size_factor=0.5, mask=mask, start_label=1)
    assert np.array_equal(slic(wild, 20, mask=mask), expected)


@pytest.mark.parametrize("value", [-7.5, 0, 1e30])
def test_a_constant_image_is_cut_into_rectangles(value):
    labels = slic(np.full((40, 40), value), 16, channel_axis=None)
    assert np.array_equal(labels, 1 + 4 * (labels[:, :1] // 4) + (labels[:1] - 1))
    assert labels.max() == 16


@pytest.mark.parametrize("compactness", [0.01, 0.1, 1])
def test_compactness_without_lab_is_against_0_to_1(compactness):
    expected = pyseg.slic(unit(GREY), 40, 100 * compactness, sigma=0, min_size_factor=0.5, start_label=1)
    assert np.array_equal(slic(GREY, 40, compactness, channel_axis=None), expected)
    expected = pyseg.slic(
        unit(RGB), 40, 100 * compactness, sigma=0, min_size_factor=0.5, start_label=1, convert2lab=False
    )
    assert np.array_equal(slic(RGB, 40, compactness, convert2lab=False), expected)


@pytest.mark.parametrize("compactness", [1, 10, 40])
def test_compactness_with_lab_is_against_lab(compactness):
    expected = pyseg.slic(unit(RGB), 40, compactness, sigma=0, min_size_factor=0.5, start_label=1)
    assert np.array_equal(slic(RGB, 40, compactness), expected)
    assert np.array_equal(slic(RGB, 40, compactness, convert2lab=True), expected)


def test_convert2lab_is_ignored_without_channels():
    assert np.array_equal(slic(GREY, 20, channel_axis=None, convert2lab=True), slic(GREY, 20, channel_axis=None))


def test_three_slices_without_channels_are_a_volume():
    labels = slic(RGB, 20, channel_axis=None, compactness=0.1)
    assert labels.shape == RGB.shape


@pytest.mark.parametrize("axis", [0, 1, -2, -3, 2, -1])
def test_channel_axis(axis):
    assert np.array_equal(slic(np.moveaxis(RGB, -1, axis), 40, channel_axis=axis), slic(RGB, 40))
    colour = picture(6, 17, 19, 3)
    assert np.array_equal(slic(np.moveaxis(colour, -1, axis), 12, channel_axis=axis), slic(colour, 12))


def test_many_channels():
    image = np.zeros((20, 20, 5))
    image[:10, :10, :2] = image[:10, 10:, 2:3] = image[10:, :10, 3:] = 1
    labels = slic(image, 4, compactness=0.5)
    assert np.array_equal(labels, np.kron([[1, 2], [3, 4]], np.ones((10, 10), int)))


def test_spacing_multiplies_distances():
    assert np.array_equal(slic(RGB, 40, 10, spacing=(2, 2)), slic(RGB, 40, 20))
    assert np.array_equal(slic(RGB, 40, 10, spacing=[1.0, 1.0]), slic(RGB, 40, 10))
    wide = slic(VOLUME, 20, 0.1, spacing=np.array([4, 4, 4]), channel_axis=None)
    assert np.array_equal(wide, slic(VOLUME, 20, 0.4, channel_axis=None))


@pytest.mark.parametrize(("image", "share"), [(GREY, 0.58), (VOLUME, 0.44)])
def test_compactness_in_a_mask(image, share):
    mask = np.ones(image.shape, bool)
    mask.flat[1:9] = False
    expected = pyseg.slic(
        unit(image), 20, 10 / share, sigma=0, min_size_factor=0.5, start_label=1, mask=mask, channel_axis=None
    )
    assert np.array_equal(slic(image, 20, 0.1, mask=mask, channel_axis=None), expected)


def test_spacing_of_a_volume_flattens_segments_along_the_wide_axis():
    noise = RNG.random((12, 24, 24))
    extent = {}
    for z in (0.25, 1, 4):
        labels = slic(noise, 30, 1, spacing=[z, 1, 1], channel_axis=None)
        extent[z] = np.mean([np.ptp(np.nonzero(labels == k)[0]) + 1 for k in np.unique(labels)])
    assert extent[0.25] > extent[1] > extent[4]


def test_scalar_sigma_is_divided_by_spacing():
    options = {"spacing": [4, 1, 2], "channel_axis": None, "compactness": 0.1}
    assert np.array_equal(slic(VOLUME, 20, sigma=2, **options), slic(VOLUME, 20, sigma=[0.5, 2, 1], **options))
    assert not np.array_equal(slic(VOLUME, 20, sigma=2, **options), slic(VOLUME, 20, **options))


@pytest.mark.parametrize("name", ["spacing", "sigma"])
def test_three_numbers_for_a_2d_image_warn(name):
    with pytest.warns(FutureWarning, match=f"Input image is 2D: {name} number of elements must be 2") as caught:
        labels = slic(RGB, 20, **{name: [9, 1, 2]})
    assert caught[0].filename == __file__
    assert np.array_equal(labels, slic(RGB, 20, **{name: [1, 2]}))


@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("enforce", [False, True])
def test_mask(start, enforce):
    mask = np.zeros(RGB.shape[:2])
    mask[5:-5, 9:-3] = 2  # any number is true
    mask[20:25, 20:30] = 0
    labels = slic(RGB, 25, mask=mask, start_label=start, enforce_connectivity=enforce)
    assert np.array_equal(labels == start - 1, mask == 0)
    assert np.array_equal(np.unique(labels[mask > 0]), np.arange(start, labels.max() + 1))


def test_upstream_maps_up_to_renumbering():
    rng = np.random.default_rng(0)
    mask = np.zeros((20, 21))
    mask[2:-2, 2:-2] = 1
    quarters = np.kron([[1, 2], [3, 4]], np.ones((10, 11), int))[:, [*range(10), *range(11, 22)]]
    for codes in (np.eye(4)[:, [1, 0, 2]], np.repeat(np.eye(4), 2, axis=1)):
        image = np.clip(codes[quarters - 1] + 0.01 * rng.normal(size=(20, 21, codes.shape[1])), 0, 1)
        labels = slic(image, 4, mask=mask, enforce_connectivity=False)
        assert np.array_equal(renumbered(labels), renumbered(np.where(mask, quarters, 0)))


def test_more_segments_than_pixels():
    assert np.array_equal(slic(RGB, 10**6).ravel(), 1 + np.arange(48 * 61))


def test_n_segments_may_be_a_float():
    assert np.array_equal(slic(RGB, 48 * 61 / 100), slic(RGB, 29))


def test_max_size_factor_has_no_effect():
    assert np.array_equal(slic(RGB, 20, 0.1, max_size_factor=0.5), slic(RGB, 20, 0.1))


def test_min_size_factor():
    fewer, more = (slic(RGB, 40, 1, min_size_factor=f).max() for f in (1.5, 0.01))
    assert fewer < more
    assert np.unique(slic(RGB, 40, 1, min_size_factor=0.5), return_counts=True)[1].min() >= int(0.5 * 48 * 61 / 42)


def test_enforce_connectivity_false_keeps_loose_pixels():
    image = np.array([[0, 0, 0, 1, 1, 1], [1, 0, 0, 1, 1, 0], [0, 0, 0, 1, 1, 0]], float)
    loose = slic(image, 2, 0.0001, channel_axis=None, enforce_connectivity=False, start_label=0)
    assert np.array_equal(loose, image)


def test_the_image_is_left_alone():
    image = unit(RGB)
    image.flags.writeable = False
    copy = image.copy()
    slic(image, 20, sigma=1)
    assert np.array_equal(image, copy)


NAN = np.where(GREY == 103, np.nan, GREY)
INF = np.where(GREY == 103, -np.inf, GREY)


@pytest.mark.parametrize(
    ("image", "options", "error", "words"),
    [
        (GREY, {}, ValueError, "channel_axis=-1 indicates multichannel, which is not supported for a two-dimensional"),
        (GREY, {"channel_axis": 0}, ValueError, "channel_axis=0 indicates multichannel"),
        (RGB, {"channel_axis": 3}, ValueError, "channel_axis must be -3 .. 2, got 3"),
        (np.zeros(5), {}, ValueError, "must have 3 axes"),
        (np.zeros(5), {"channel_axis": None}, ValueError, r"must be \[H, W\]"),
        (np.zeros((5, 5, 5, 5)), {"channel_axis": None}, ValueError, r"must be \[H, W\]"),
        (RGB[..., :2], {"convert2lab": True}, ValueError, "Lab colorspace conversion requires a RGB image"),
        (RGB, {"start_label": 2}, ValueError, "start_label should be 0 or 1"),
        (RGB, {"mask": np.ones((4, 4))}, ValueError, "image and mask should have the same shape"),
        (RGB, {"mask": np.zeros((48, 61))}, ValueError, "mask must have at least one pixel"),
        (NAN, {"channel_axis": None}, ValueError, "unmasked NaN values in image are not supported"),
        (INF, {"channel_axis": None}, ValueError, "unmasked infinite values in image are not supported"),
        (RGB[:0], {}, ValueError, "image must not be empty"),
        (RGB.astype(complex), {}, ValueError, "got complex128"),
        (RGB.astype(object), {}, ValueError, "got object"),
        (RGB, {"spacing": 2.0}, TypeError, "spacing must be None or iterable"),
        (RGB, {"spacing": [1]}, ValueError, "Input image is 2D, but spacing has 1 elements"),
        (VOLUME, {"spacing": [1, 1], "channel_axis": None}, ValueError, "Input image is 3D, but spacing has 2"),
        (RGB, {"spacing": [1, 0]}, ValueError, "spacing must be finite and > 0"),
        (RGB, {"sigma": [1, 1, 1, 1]}, ValueError, "Input image is 2D, but sigma has 4 elements"),
        (RGB, {"sigma": -1}, ValueError, "sigma must be"),
        (RGB, {"sigma": "1"}, TypeError, "sigma must be a number"),
        (RGB, {"compactness": 0}, ValueError, "compactness must be finite and > 0, got 0"),
        (GREY, {"compactness": -2, "channel_axis": None}, ValueError, "compactness must be finite and > 0, got -2"),
        (RGB, {"n_segments": 0}, ValueError, "n_segments must be >= 1, got 0"),
        (RGB, {"max_num_iter": 1.5}, TypeError, "max_num_iter must be an integer"),
    ],
)
def test_errors(image, options, error, words):
    with pytest.raises(error, match=words):
        slic(image, **options)
