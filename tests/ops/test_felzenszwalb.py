"""pyseg.felzenszwalb is its definition, bit for bit."""

import inspect

import numpy as np
import pytest
import samples
from hypothesis import given, settings
from hypothesis import strategies as st

import pyseg
from pyseg.reference import felzenszwalb as reference

# Name: image (kind, shape[, channels[, dtype]]), options. Tiles are of up to 128x128 pixels.
TABLE = {
    "photo": (("photo", (100, 90)), {}),
    "photo in four tiles": (("photo", (140, 150)), {}),
    "photo in four tiles, large scale": (("photo", (140, 150)), {"scale": 100.0, "sigma": 0.5, "min_size": 50}),
    "photo in four tiles, larger scale": (("photo", (140, 150)), {"scale": 3000.0, "min_size": 100}),
    "photo in four tiles, small scale": (("photo", (140, 150)), {"scale": 0.05}),
    "photo, nothing too small": (("photo", (140, 150)), {"min_size": 0}),
    "photo, all too small": (("photo", (140, 150)), {"min_size": 10**12}),
    "photo, all in one": (("photo", (140, 150)), {"scale": 1e300}),
    "photo, none in one": (("photo", (140, 150)), {"scale": 5e-324, "min_size": 0}),
    "photo, no smoothing": (("photo", (140, 150)), {"sigma": 0, "scale": 30.0}),
    "noise": (("noise", (140, 150)), {"scale": 10.0}),
    "noise, large scale": (("noise", (140, 150)), {"scale": 1000.0}),
    "flat": (("flat", (140, 150)), {}),
    "flat, tolerances that vanish": (("flat", (140, 150)), {"scale": 1e-42}),
    "stripes": (("stripes", (140, 150)), {"sigma": 0, "min_size": 300}),
    "stripes, smoothed": (("stripes", (140, 150)), {}),
    "checkerboard": (("checkerboard", (140, 150)), {"sigma": 0}),
    "gradient": (("gradient", (140, 150)), {}),
    "gradient of floats": (("gradient", (140, 150), 3, "float64"), {"scale": 10.0}),
    "cells": (("cells", (140, 150)), {"scale": 50.0}),
    "grey": (("photo", (140, 150), None), {"scale": 20.0}),
    "one channel": (("photo", (140, 150), 1), {"scale": 20.0}),
    "two channels": (("photo", (140, 150), 2), {}),
    "seven channels": (("noise", (40, 50), 7), {"scale": 100.0}),
    "eight channels": (("noise", (40, 50), 8), {"scale": 100.0}),
    "129 channels": (("noise", (20, 21), 129), {"scale": 1000.0}),
    "700 channels": (("noise", (9, 8), 700), {"scale": 1000.0}),
    "uint16": (("photo", (64, 80), 3, "uint16"), {}),
    "float16": (("photo", (64, 80), 3, "float16"), {}),
    "float32": (("photo", (64, 80), 3, "float32"), {}),
    "float64": (("photo", (64, 80), 3, "float64"), {}),
    "sigma just below a tap": (("photo", (64, 80)), {"sigma": 0.1249}),
    "sigma of one tap a side": (("photo", (64, 80)), {"sigma": 0.125}),
    "sigma wider than the image": (("noise", (30, 41)), {"sigma": 25.0, "scale": 1e-3}),
    "sigma of 1000": (("noise", (5, 6)), {"sigma": 1000.0, "scale": 1e-6}),
    "start_label": (("photo", (64, 80)), {"start_label": 7}),
    "one pixel": (("photo", (1, 1)), {}),
    "one row": (("photo", (1, 300)), {"scale": 10.0}),
    "one column": (("photo", (300, 1), 3, "float32"), {"scale": 10.0}),
}


def check(image, **options):
    expected, labels = reference(image, **options), pyseg.felzenszwalb(image, **options)
    assert labels.dtype == expected.dtype == np.int32
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("name", TABLE)
def test_equals_the_reference(name):
    (kind, shape, *rest), options = TABLE[name]
    check(samples.image(kind, shape, *rest), **options)


def test_signature_is_the_references():
    ours = inspect.signature(pyseg.felzenszwalb).parameters
    assert [(p.name, p.kind, p.default) for p in ours.values()] == [
        (p.name, p.kind, p.default) for p in inspect.signature(reference).parameters.values()
    ]


def test_equals_the_reference_on_values_at_the_ends_of_floats():
    image = samples.image("cells", (40, 50), None, "float64")
    for magnitude in (5e-324, 1e-310, 1e-170, 1e-45, 1e-38, 1e20, 1e39, 1e149):
        for scale in (1e-20, 1.0, 1e3, 1e40):
            check(image * magnitude, scale=min(scale * magnitude, 1e300) or 5e-324)
        check((image - 0.5) * magnitude, scale=10 * magnitude)


def test_weights_that_only_float64_tells_apart():
    rng = np.random.default_rng(0)
    image = np.cumsum(1 + rng.integers(0, 50, 20_000) * 2.0**-52).reshape(1, -1)
    image = np.where(np.arange(20_000) % 3 == 0, image, image + 0.25)
    for min_size in (0, 2, 3, 40):
        check(image, scale=255 * 0.9, sigma=0, min_size=min_size)
        check(image.reshape(100, 200), scale=255 * 0.9, sigma=0, min_size=min_size)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_and_infinity_are_errors_of_both(dtype):
    for value in (np.nan, np.inf, -np.inf, *([1.1e150, -1e300] if dtype == "float64" else [])):
        for at in ((0, 0, 0), (139, 149, 2), (70, 64, 1)):
            image = samples.image("photo", (140, 150), 3, dtype)
            image[at] = value
            for segment in (pyseg.felzenszwalb, reference):
                with pytest.raises(ValueError, match="felzenszwalb: image must be finite, of magnitudes up to 1e"):
                    segment(image)


@st.composite
def problems(draw):
    """(image, options) of any kind that felzenszwalb takes."""
    long = draw(st.booleans())
    shape = (draw(st.integers(1, 20 if long else 60)), draw(st.integers(1, 400 if long else 60)))
    shape = shape[::-1] if draw(st.booleans()) else shape
    channels = draw(st.sampled_from([None, 1, 2, 3, 3, 3, 4, 9]))
    seed = draw(st.integers(0, 2**32 - 1))
    image = samples.image(
        draw(st.sampled_from(samples.KINDS)), shape, channels, draw(st.sampled_from(("uint8", *samples.DTYPES))), seed
    )
    options = {
        "scale": 10 ** draw(st.floats(-2, 5)),
        "sigma": draw(st.one_of(st.just(0.0), st.floats(0.01, 4), st.floats(4, 80))),
        "min_size": draw(st.sampled_from([0, 1, 2, 5, 20, 100, 3000])),
        "start_label": draw(st.integers(0, 3)),
        "channel_axis": None if channels is None else -1,
    }
    return image, options


@settings(max_examples=300)
@given(problems())
def test_equals_the_reference_on_anything(problem):
    image, options = problem
    check(image, **options)
