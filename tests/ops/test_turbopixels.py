"""pyseg.turbopixels is its definition, bit for bit."""

import inspect

import numpy as np
import pytest
import samples
from hypothesis import given, settings
from hypothesis import strategies as st

import pyseg
from pyseg.reference import turbopixels as reference

# Name: image (kind, shape[, channels[, dtype]]), options.
TABLE = {
    "photo": (("photo", (100, 90)), {"n_segments": 60}),
    "photo, width of whole groups": (("photo", (50, 64)), {"n_segments": 20}),
    "photo, width of 16 groups and a pixel": (("photo", (20, 257)), {"n_segments": 20}),
    "more groups than a word of bits": (("cells", (12, 1100)), {"n_segments": 60}),
    "large superpixels": (("photo", (90, 120)), {"n_segments": 4}),
    "noise": (("noise", (60, 64)), {"n_segments": 25}),
    "noise, raw regions": (("noise", (60, 64)), {"n_segments": 25, "enforce_connectivity": False}),
    "flat": (("flat", (50, 50)), {"n_segments": 20}),
    "stripes": (("stripes", (60, 90)), {"n_segments": 20}),
    "checkerboard": (("checkerboard", (50, 70)), {"n_segments": 20}),
    "grey": (("photo", (64, 80), None), {"n_segments": 30}),
    "one channel": (("photo", (64, 80), 1), {"n_segments": 30}),
    "two channels": (("photo", (64, 80), 2), {"n_segments": 30}),
    "five channels": (("cells", (64, 50), 5), {"n_segments": 30}),
    "uint16": (("photo", (64, 80), 3, "uint16"), {"n_segments": 30}),
    "float16": (("photo", (64, 80), 3, "float16"), {"n_segments": 30}),
    "float32": (("photo", (64, 80), 3, "float32"), {"n_segments": 30}),
    "float64": (("photo", (64, 80), 3, "float64"), {"n_segments": 30}),
    "no curvature": (("photo", (64, 80)), {"n_segments": 30, "alpha": 0.0}),
    "much curvature": (("photo", (64, 80)), {"n_segments": 30, "alpha": 1.5}),
    "no attraction": (("photo", (64, 80)), {"n_segments": 30, "beta": 0}),
    "fronts that retreat": (("photo", (64, 80)), {"n_segments": 30, "beta": 8.0}),
    "slow fronts": (("photo", (64, 80)), {"n_segments": 30, "nu": 0.02}),
    "fast fronts": (("photo", (64, 80)), {"n_segments": 30, "nu": 1e3}),
    "small gamma": (("photo", (64, 80)), {"n_segments": 30, "gamma": 1e-50}),
    "large gamma": (("photo", (64, 80)), {"n_segments": 30, "gamma": 1e60}),
    "sigma of less than a pixel": (("photo", (64, 80)), {"n_segments": 30, "sigma": 0.3}),
    "sigma": (("photo", (64, 80)), {"n_segments": 30, "sigma": 7.9}),
    "sigma in cells of two pixels": (("photo", (63, 81)), {"n_segments": 30, "sigma": 8.0}),
    "sigma wider than the image": (("photo", (64, 80)), {"n_segments": 30, "sigma": 1e5}),
    "no step": (("photo", (64, 80)), {"n_segments": 30, "max_iter": 0}),
    "one step": (("photo", (64, 80)), {"n_segments": 30, "max_iter": 1}),
    "steps that end between skeletons": (("photo", (64, 80)), {"n_segments": 30, "max_iter": 14}),
    "start_label": (("photo", (64, 80)), {"n_segments": 30, "start_label": 7}),
    "K = 1": (("photo", (50, 60)), {"n_segments": 1}),
    "K = 2": (("photo", (50, 60)), {"n_segments": 2}),
    "S = 2": (("photo", (24, 32)), {"n_segments": 192}),
    "K = pixels / 2": (("photo", (24, 31)), {"n_segments": 372}),
    "K = pixels": (("photo", (9, 11)), {"n_segments": 99}),
    "K = pixels - 1": (("photo", (9, 11)), {"n_segments": 98}),
    "K > pixels": (("photo", (9, 11)), {"n_segments": 10**12}),
    "one pixel": (("photo", (1, 1)), {"n_segments": 1}),
    "two pixels": (("photo", (1, 2)), {"n_segments": 1}),
    "one row": (("photo", (1, 90)), {"n_segments": 6}),
    "one column": (("photo", (90, 1), 3, "float32"), {"n_segments": 6}),
}


def check(image, **options):
    expected, labels = reference(image, **options), pyseg.turbopixels(image, **options)
    assert labels.dtype == expected.dtype == np.int32
    np.testing.assert_array_equal(labels, expected)


@pytest.mark.parametrize("name", TABLE)
def test_equals_the_reference(name):
    (kind, shape, *rest), options = TABLE[name]
    check(samples.image(kind, shape, *rest), **options)


@pytest.mark.parametrize("name", ["photo", "fronts that retreat", "more groups than a word of bits", "S = 2"])
def test_equals_the_reference_on_every_instruction_set(name, isa):
    (kind, shape, *rest), options = TABLE[name]
    check(samples.image(kind, shape, *rest), **options)


@pytest.mark.parametrize("name", ["photo", "one column", "stripes"])
@pytest.mark.parametrize("threads", [2, 3, 4])
def test_equals_the_reference_on_threads(name, threads):
    pyseg.set_num_threads(threads)
    (kind, shape, *rest), options = TABLE[name]
    check(samples.image(kind, shape, *rest), **options)


def test_equals_the_reference_on_values_at_the_ends_of_floats():
    for scale in (3e-44, 1e-38, 1e-20, 1e4, 1e20, 1e36, 3e38):
        image = samples.image("cells", (40, 50), None, "float64") * scale
        check(image, n_segments=20)
        check(image - image.mean(), n_segments=20)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_nan_and_infinity_are_errors_of_both(dtype):
    for value in (np.nan, np.inf, -np.inf, 1e39):
        if value == 1e39 and dtype != "float64":
            continue
        image = samples.image("photo", (40, 50), 3, dtype)
        image[21, 33, 1] = value
        for turbopixels in (pyseg.turbopixels, reference):
            for wanted in (20, 10**6):
                with pytest.raises(ValueError, match="turbopixels: image must be finite"):
                    turbopixels(image, wanted)


def test_signature_is_the_references():
    ours = inspect.signature(pyseg.turbopixels).parameters
    assert [(p.name, p.kind, p.default) for p in ours.values()] == [
        (p.name, p.kind, p.default) for p in inspect.signature(reference).parameters.values()
    ]


def test_statistics_are_the_references():
    image = samples.image("photo", (40, 50))
    labels, stats = pyseg.turbopixels(image, 12, start_label=3, return_stats=True)
    expected, theirs = reference(image, 12, start_label=3, return_stats=True)
    np.testing.assert_array_equal(labels, expected)
    for name in ("n", "start_label", "area", "bbox", "edges", "boundary_length"):
        np.testing.assert_array_equal(getattr(stats, name), getattr(theirs, name), err_msg=name)


@st.composite
def problems(draw):
    """(image, options) of any kind that turbopixels takes."""
    shape = (draw(st.integers(1, 60)), draw(st.integers(1, 80)))
    channels = draw(st.sampled_from([None, 1, 2, 3, 3, 3, 4, 7]))
    seed = draw(st.integers(0, 2**32 - 1))
    kind, dtype = draw(st.sampled_from(samples.KINDS)), draw(st.sampled_from(samples.DTYPES))
    axis = None if channels is None else draw(st.integers(-3, 2))
    image = samples.image(kind, shape, channels, dtype, seed)
    options = {
        "n_segments": draw(st.integers(1, max(1, int(np.prod(shape)) // draw(st.sampled_from([1, 4, 30, 100, 300]))))),
        "alpha": draw(st.sampled_from([0.3, 0.3, 0.0, 2.0])),
        "beta": draw(st.sampled_from([1.0, 1.0, 0.0, 6.0])),
        "nu": 10 ** draw(st.floats(-2, 0.5)),
        "gamma": 10 ** draw(st.floats(-1, 3)),
        "sigma": draw(st.one_of(st.none(), st.floats(0.1, 40))),
        "max_iter": draw(st.sampled_from([0, 3, 10, 30, 60, 500])),
        "start_label": draw(st.integers(0, 3)),
        "channel_axis": axis,
        "enforce_connectivity": draw(st.sampled_from([True, True, False])),
    }
    return image if axis is None else np.moveaxis(image, -1, axis), options


@settings(max_examples=150)
@given(problems())
def test_equals_the_reference_on_anything(problem):
    image, options = problem
    check(image, **options)
