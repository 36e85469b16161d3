"""pyseg.slic is its definition, bit for bit."""

import inspect

import numpy as np
import pytest
import samples
from hypothesis import given, settings
from hypothesis import strategies as st

import pyseg
from pyseg.reference import slic as reference

# Name: image (kind, shape[, channels[, dtype]]), options.
TABLE = {
    "photo": (("photo", (100, 90)), {"n_segments": 60}),
    "photo, tiles cut by the border": (("photo", (81, 97)), {"n_segments": 30}),
    "photo in small superpixels, tiles of 8": (("photo", (70, 61)), {"n_segments": 90}),
    "tiles of 8 at S = 2": (("photo", (24, 31)), {"n_segments": 180}),
    "S just below 10": (("photo", (99, 99)), {"n_segments": 101}),
    "S = 10": (("cells", (100, 100)), {"n_segments": 100}),
    "noise": (("noise", (60, 64)), {"n_segments": 25}),
    "noise, raw clusters": (("noise", (60, 64)), {"n_segments": 25, "enforce_connectivity": False}),
    "flat": (("flat", (50, 50)), {"n_segments": 20}),
    "stripes": (("stripes", (60, 90)), {"n_segments": 20}),
    "checkerboard": (("checkerboard", (50, 70)), {"n_segments": 20}),
    "grey": (("photo", (64, 80), None), {"n_segments": 30}),
    "one channel": (("photo", (64, 80), 1), {"n_segments": 30}),
    "two channels": (("photo", (64, 80), 2), {"n_segments": 30}),
    "RGB without CIELAB": (("photo", (64, 80)), {"n_segments": 30, "convert2lab": False}),
    "five channels": (("cells", (64, 50), 5), {"n_segments": 30}),
    "uint16": (("photo", (64, 80), 3, "uint16"), {"n_segments": 30}),
    "float16": (("photo", (64, 80), 3, "float16"), {"n_segments": 30}),
    "float32": (("photo", (64, 80), 3, "float32"), {"n_segments": 30}),
    "float64": (("photo", (64, 80), 3, "float64"), {"n_segments": 30}),
    "float32, grey": (("cells", (64, 80), None, "float32"), {"n_segments": 30}),
    "float32, every second row": (("photo", (64, 64), 3, "float32"), {"n_segments": 64}),
    "float32, every row": (("photo", (40, 40), 3, "float32"), {"n_segments": 64}),
    "volume": (("cells", (9, 40, 36), None), {"n_segments": 30, "channel_axis": None}),
    "colour volume": (("photo", (7, 33, 40)), {"n_segments": 40}),
    "volume of one slice": (("photo", (1, 50, 60)), {"n_segments": 40}),
    "volume with spacing": (("cells", (9, 30, 30)), {"n_segments": 30, "spacing": (3, 1, 1)}),
    "SLICO": (("photo", (64, 80)), {"n_segments": 30, "slic_zero": True}),
    "SLICO, float64": (("cells", (64, 80), 3, "float64"), {"n_segments": 30, "slic_zero": True, "compactness": 1.0}),
    "spacing": (("photo", (64, 80)), {"n_segments": 30, "spacing": (1.0, 2.0)}),
    "sigma": (("photo", (64, 80)), {"n_segments": 30, "sigma": 1.5}),
    "sigma per axis": (("photo", (64, 80), 3, "float32"), {"n_segments": 30, "sigma": (0.0, 2.0)}),
    "no smoothing": (("photo", (64, 80)), {"n_segments": 30, "sigma": 0}),
    "no smoothing, float32": (("photo", (64, 80), 3, "float32"), {"n_segments": 30, "sigma": 0}),
    "tol": (("photo", (64, 80)), {"n_segments": 30, "tol": 0.25, "max_iter": 50}),
    "tol of tiles of 8": (("photo", (40, 40)), {"n_segments": 60, "tol": 0.1}),
    "tol, float32": (("photo", (64, 80), 3, "float32"), {"n_segments": 30, "tol": 0.25, "max_iter": 50}),
    "no pass": (("photo", (64, 80)), {"n_segments": 30, "max_iter": 0}),
    "no pass, float32": (("photo", (64, 80), 3, "float32"), {"n_segments": 30, "max_iter": 0}),
    "compactness 0.01": (("photo", (64, 80)), {"n_segments": 30, "compactness": 0.01}),
    "compactness 32": (("photo", (64, 80)), {"n_segments": 30, "compactness": 32.0}),
    "compactness 1e6": (("photo", (64, 80)), {"n_segments": 30, "compactness": 1e6}),
    "compactness / S at the limit of bytes": (("photo", (64, 80)), {"n_segments": 1000, "compactness": 17.9}),
    "every component kept": (("noise", (40, 50)), {"n_segments": 30, "min_size_factor": 0}),
    "most components absorbed": (("photo", (64, 80)), {"n_segments": 30, "min_size_factor": 1.0}),
    "every component small": (("photo", (64, 80)), {"n_segments": 30, "min_size_factor": 100.0}),
    "every component small, by far": (("photo", (64, 80)), {"n_segments": 30, "min_size_factor": 1e300}),
    "start_label": (("photo", (64, 80)), {"n_segments": 30, "start_label": 7}),
    "K = 1": (("photo", (50, 60)), {"n_segments": 1}),
    "K = 1, float32": (("photo", (50, 60), 3, "float32"), {"n_segments": 1}),
    "K = pixels": (("photo", (9, 11)), {"n_segments": 99}),
    "K = pixels - 1": (("photo", (9, 11)), {"n_segments": 98}),
    "K > pixels": (("photo", (9, 11)), {"n_segments": 10**12}),
    "one pixel": (("photo", (1, 1)), {"n_segments": 1}),
    "one row": (("photo", (1, 90)), {"n_segments": 6}),
    "one column": (("photo", (90, 1), 3, "float32"), {"n_segments": 6}),
}


def warm(count, dims=2, channels=0, at=None, seed=0):
    """Centres anywhere in and about an image of 64x80, or all at one point; with colours."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(-5, 85, (count, dims)) if at is None else np.tile(np.asarray(at, float), (count, 1))
    return np.hstack([places, rng.uniform(-40, 90, (count, channels))])


WARM = {
    "positions": warm(30),
    "positions and colours": warm(30, channels=3),
    "more than 255 at one point": warm(300, at=(30.2, 41.7)),
    "more than 255 of different colours at one point": warm(300, at=(30.2, 41.7), channels=3),
    "tiles without a candidate": warm(60, at=(0, 0)),
    "tiles without a candidate, colours": warm(60, at=(63, 0), channels=3),
    "one": warm(1),
    "more than pixels": warm(6000),
}


def check(image, **options):
    expected, labels = reference(image, **options), pyseg.slic(image, **options)
    assert labels.dtype == expected.dtype == np.int32
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("name", TABLE)
def test_equals_the_reference(name):
    (kind, shape, *rest), options = TABLE[name]
    check(samples.image(kind, shape, *rest), **options)


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_equals_the_reference_in_a_mask(name, dtype):
    (kind, shape, *rest), options = TABLE[name]
    image = samples.image(kind, shape, rest[0] if rest else 3, dtype)
    check(image, **options, mask=samples.blobs(shape))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("name", WARM)
def test_equals_the_reference_from_a_warm_start(name, dtype):
    image = samples.image("photo", (64, 80), 3, dtype)
    for options in ({}, {"convert2lab": False}, {"tol": 0.3}, {"mask": samples.blobs((64, 80)), "slic_zero": True}):
        check(image, initial_centers=WARM[name], max_iter=3, **options)


def test_equals_the_reference_from_a_warm_start_in_a_volume():
    image = samples.image("cells", (8, 30, 30), None, "float32")
    for channels in (0, 1):
        centers = warm(20, 3, channels) / 3
        check(image, initial_centers=centers, channel_axis=None)


def test_equals_the_reference_on_values_at_the_ends_of_floats():
    for scale in (3e-44, 1e-38, 1e-20, 1e20, 3e36):
        image = samples.image("cells", (40, 50), None, "float64") * scale
        check(image, n_segments=20)
        check(image - image.mean(), n_segments=20, slic_zero=True, compactness=1e-3)


@pytest.mark.parametrize("sigma", [0.01, 1e-30, 1e-200, 5e-324])
def test_a_gaussian_narrower_than_a_pixel_is_none(sigma):
    image = samples.image("photo", (40, 50), 3, "float32")
    np.testing.assert_array_equal(reference(image, 20, sigma=sigma), reference(image, 20, sigma=0))
    check(image, n_segments=20, sigma=sigma)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_and_infinity_are_errors_of_both(dtype):
    for value in (np.nan, np.inf, -np.inf):
        image = samples.image("photo", (40, 50), 3, dtype)
        image[21, 33, 1] = value
        for slic in (pyseg.slic, reference):
            with pytest.raises(ValueError, match="image must be finite"):
                slic(image, 20)


def test_what_lies_outside_of_the_mask_does_not_matter():
    image = samples.image("photo", (40, 50), 3, "float32")
    mask = samples.blobs((40, 50))
    expected = pyseg.slic(image, 20, mask=mask)
    for value in (np.nan, np.inf, 1e30):
        np.testing.assert_array_equal(pyseg.slic(np.where(mask[..., None], image, value), 20, mask=mask), expected)


def test_signature_is_the_references():
    ours = inspect.signature(pyseg.slic).parameters
    assert [(p.name, p.kind, p.default) for p in ours.values()] == [
        (p.name, p.kind, p.default) for p in inspect.signature(reference).parameters.values()
    ]


@st.composite
def problems(draw):
    """(image, options) of any kind that slic takes."""
    dims = draw(st.sampled_from([2, 2, 2, 3]))
    shape = tuple(draw(st.integers(1, 60 if dims == 2 else 14)) for _ in range(dims))
    channels = draw(st.sampled_from([None, 1, 2, 3, 3, 3, 4, 7]))
    seed = draw(st.integers(0, 2**32 - 1))
    image = samples.image(
        draw(st.sampled_from(samples.KINDS)), shape, channels, draw(st.sampled_from(("uint8", *samples.DTYPES))), seed
    )
    rng = np.random.default_rng(seed)
    width = st.one_of(st.just(0.0), st.floats(0.01, 3))
    sigma = st.one_of(st.none(), width, st.lists(width, min_size=dims, max_size=dims))
    options = {
        "n_segments": draw(st.integers(1, max(1, int(np.prod(shape)) // draw(st.sampled_from([1, 4, 30, 100, 300]))))),
        "compactness": 10 ** draw(st.floats(-2, 3)),
        "max_iter": draw(st.integers(0, 9)),
        "tol": draw(st.one_of(st.none(), st.floats(0, 2))),
        "sigma": draw(sigma),
        "convert2lab": draw(st.sampled_from([None, False])),
        "slic_zero": draw(st.booleans()),
        "enforce_connectivity": draw(st.sampled_from([True, True, False])),
        "min_size_factor": draw(st.floats(0, 2)),
        "start_label": draw(st.integers(0, 3)),
        "channel_axis": None if channels is None else -1,
    }
    if draw(st.booleans()):
        options["slic_zero"] = False
        options["sigma"] = draw(st.sampled_from([None, 0]))
    elif draw(st.booleans()):
        options["mask"] = samples.blobs(shape, seed)
    if draw(st.integers(0, 4)) == 0:
        options["spacing"] = [10 ** draw(st.floats(-1, 1)) for _ in range(dims)]
    if draw(st.integers(0, 4)) == 0:
        width = dims + draw(st.sampled_from([0, channels or 1]))
        options["initial_centers"] = rng.uniform(-10, 70, (draw(st.integers(1, 300)), width))
    return image, options


@settings(max_examples=300)
@given(problems())
def test_equals_the_reference_on_anything(problem):
    image, options = problem
    check(image, **options)
