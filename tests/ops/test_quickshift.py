"""pyseg.quickshift is its definition, bit for bit, whatever computes it."""

import functools
import inspect
import threading

import numpy as np
import pytest
import samples
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pyseg
from pyseg.reference import quickshift as reference

# Name: image (kind, shape[, channels[, dtype]]), options; kernel_size 2 and max_dist 5 where they do not say.
TABLE = {
    "photo": (("photo", (60, 70)), {}),
    "photo, the defaults": (("photo", (40, 51)), {"kernel_size": 5.0, "max_dist": 10.0}),
    "noise": (("noise", (40, 45)), {}),
    "flat: nothing but ties": (("flat", (33, 35)), {}),
    "stripes": (("stripes", (40, 41)), {}),
    "checkerboard": (("checkerboard", (40, 41)), {}),
    "gradient": (("gradient", (40, 41)), {}),
    "grey": (("photo", (40, 53), None), {}),
    "one channel": (("photo", (40, 53), 1), {}),
    "two channels": (("photo", (40, 53), 2), {}),
    "seven channels": (("cells", (40, 53), 7, "float32"), {}),
    "RGB without CIELAB": (("photo", (40, 53)), {"convert2lab": False}),
    "uint16": (("photo", (40, 53), 3, "uint16"), {}),
    "float16": (("photo", (40, 53), 3, "float16"), {}),
    "float32": (("photo", (40, 53), 3, "float32"), {}),
    "float64": (("photo", (40, 53), 3, "float64"), {}),
    "ratio 0": (("photo", (40, 53)), {"ratio": 0.0}),
    "ratio 0.3": (("photo", (40, 53)), {"ratio": 0.3}),
    "ratio 100: every pixel far from every other": (("photo", (40, 53)), {"ratio": 100.0}),
    "the narrowest kernel": (("photo", (40, 53)), {"kernel_size": 1.0}),
    "a kernel of no whole size": (("photo", (40, 53)), {"kernel_size": 2.3}),
    "a kernel whose window in float32 is a row wider": (("photo", (40, 53)), {"kernel_size": 7 / 3 + 1e-9}),
    "a window larger than the image": (("photo", (20, 23)), {"kernel_size": 11.0}),
    "a window higher than the image": (("photo", (5, 60)), {"kernel_size": 4.0}),
    "a window of almost no weight anywhere": (("photo", (20, 23)), {"kernel_size": 1e150}),
    "max_dist 0": (("photo", (40, 53)), {"max_dist": 0}),
    "max_dist 1: neighbours of the same colour": (("cells", (40, 53), None), {"max_dist": 1.0, "sigma": 2.0}),
    "max_dist beyond the window": (("photo", (40, 53)), {"max_dist": 1e9}),
    "max_dist infinite": (("photo", (40, 53)), {"max_dist": np.inf}),
    "sigma": (("photo", (40, 53)), {"sigma": 1.2}),
    "sigma wider than the image": (("photo", (9, 13), 3, "float32"), {"sigma": 8.0}),
    "sigma much wider than the image": (("photo", (9, 13), 3, "float32"), {"sigma": 30.0}),
    "sigma beyond all": (("photo", (9, 13), None), {"sigma": 1e300}),
    "sigma of no pixel": (("photo", (20, 23)), {"sigma": 1e-3}),
    "noise in the densities": (("flat", (40, 53)), {"rng": 42}),
    "noise in the densities of a wide window": (("flat", (160, 170), None), {"rng": 3, "kernel_size": 26.0}),
    "start_label": (("photo", (40, 53)), {"start_label": 7}),
    "one pixel": (("photo", (1, 1)), {}),
    "one row": (("photo", (1, 90)), {}),
    "one column": (("photo", (90, 1), 3, "float32"), {}),
    "a row of as many pixels as a vector": (("photo", (20, 16)), {}),
    "a row of one more": (("photo", (20, 17)), {}),
}


def picture(name):
    (kind, shape, *rest), options = TABLE[name]
    return samples.image(kind, shape, *rest), {"kernel_size": 2.0, "max_dist": 5.0} | options


def same(results, expected):
    for mine, theirs in zip(results, expected, strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)


def check(image, **options):
    """Labels with the tree and without."""
    expected = reference(image, **options, return_tree=True)
    same(pyseg.quickshift(image, **options, return_tree=True), expected)
    same([pyseg.quickshift(image, **options)], expected[:1])
    assert [r.dtype for r in expected] == [np.int32, np.int64, np.float32]


@pytest.mark.parametrize("name", TABLE)
def test_equals_the_reference(name):
    image, options = picture(name)
    check(image, **options)


def test_equals_the_reference_on_values_at_the_ends_of_floats():
    for scale in (3e-44, 1e-38, 1e-20, 1e15, 1e20, 3e36):
        image = samples.image("cells", (30, 35), None, "float64") * scale
        check(image, kernel_size=2.0)
        check(image - image.mean(), kernel_size=2.0, max_dist=np.inf)


def test_equals_the_reference_where_distances_are_equal():
    """Colours of whole units: many candidates in different directions are equally far, by colour or by space."""
    for seed in range(4):
        image = np.random.default_rng(seed).integers(0, 3, (30, 41)).astype(np.uint8)
        _, _, distances = reference(image, 2.55, 1.5, return_tree=True)
        squared = distances[np.isfinite(distances)].astype(np.float64) ** 2
        assert np.abs(squared - np.rint(squared)).max() < 1e-5
        check(image, ratio=2.55, kernel_size=1.5, max_dist=2.0)


def test_equals_the_reference_where_max_dist_is_a_distance():
    image = samples.image("photo", (20, 23))
    _, _, distances = reference(image, kernel_size=2.0, return_tree=True)
    for distance in distances[np.isfinite(distances)][::17]:
        for max_dist in (np.nextafter(distance, np.float32(0)), distance):
            check(image, kernel_size=2.0, max_dist=float(max_dist))


@st.composite
def problems(draw):
    """(image, options) of any kind that quickshift takes."""
    shape = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    channels = draw(st.sampled_from([None, 1, 2, 3, 3, 3, 4]))
    kind, dtype = draw(st.sampled_from(samples.KINDS)), draw(st.sampled_from(samples.DTYPES))
    image = samples.image(kind, shape, channels, dtype, draw(st.integers(0, 2**32 - 1)))
    return image, {
        "ratio": draw(st.sampled_from([0.0, 0.1, 0.5, 1.0, 1.0, 3.0])),
        "kernel_size": draw(st.floats(1, 4)),
        "max_dist": draw(st.one_of(st.floats(0, 20), st.integers(0, 20))),
        "sigma": draw(st.one_of(st.just(0.0), st.floats(0.01, 3))),
        "convert2lab": draw(st.sampled_from([None, False])),
        "rng": draw(st.sampled_from([None, None, 7])),
        "start_label": draw(st.integers(0, 3)),
    }


@settings(max_examples=100)
@given(problems())
def test_equals_the_reference_on_anything(problem):
    image, options = problem
    check(image, **options)


@functools.cache
def expected_of(name):
    image, options = picture(name)
    return reference(image, **options, return_tree=True)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_threads_and_instruction_sets_agree(isa, threads):
    pyseg.set_num_threads(threads)
    torch.set_num_threads(threads)
    for name in TABLE:
        image, options = picture(name)
        same(pyseg.quickshift(image, **options, return_tree=True), expected_of(name))
        by_torch = pyseg.quickshift(torch.from_numpy(image), **options, return_tree=True)
        same([result.numpy() for result in by_torch], expected_of(name))


def test_more_threads_than_rows():
    pyseg.set_num_threads(16)
    for shape in ((3, 50), (1, 50), (17, 50)):
        check(samples.image("photo", shape), kernel_size=2.0)


def test_eight_python_threads_at_once():
    pyseg.set_num_threads(2)
    images = [samples.image("photo", (30 + i, 41), 3, "uint8" if i % 2 else "float64", i) for i in range(8)]
    expected = [pyseg.quickshift(image, kernel_size=2) for image in images]
    wrong = []

    def work(i):
        for _ in range(20):
            if not np.array_equal(pyseg.quickshift(images[i], kernel_size=2), expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert not any(thread.is_alive() for thread in threads)


MEMORY = """
import numpy as np, pyseg
from pyseg.compat.skimage import quickshift

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
for i in range(301):
    pyseg.quickshift(image, kernel_size=2, return_tree=i % 2 == 0)
    quickshift(image, kernel_size=2, return_tree=i % 2 == 0)
    if i == 100:
        before = resident()
print(resident() - before)
"""


def test_memory_is_flat(run_python):
    assert int(run_python(MEMORY)) < 4 * 2**20


LAYOUTS = {
    "a view": lambda x: np.repeat(np.repeat(x, 2, 0), 3, 1)[::2, ::3],
    "reversed": lambda x: x[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1],
    "Fortran order": np.asfortranarray,
    "channels first": lambda x: np.ascontiguousarray(x.transpose(2, 0, 1)).transpose(1, 2, 0),
    "byte-swapped": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "a part of a wider one": lambda x: np.pad(x, ((1, 2), (3, 4), (1, 1)))[1:-2, 3:-4, 1:-1],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", samples.DTYPES)
def test_memory_layout_does_not_matter(layout, dtype, unchanged):
    image = samples.image("photo", (30, 41), 3, dtype)
    moved = LAYOUTS[layout](image)
    moved.flags.writeable = False
    unchanged(moved)
    np.testing.assert_array_equal(pyseg.quickshift(moved, 1.0, 2.0, 5.0), pyseg.quickshift(image, 1.0, 2.0, 5.0))


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_channel_axis(axis):
    image = samples.image("photo", (30, 41))
    moved = np.moveaxis(image, -1, axis)
    expected = pyseg.quickshift(image, kernel_size=2)
    np.testing.assert_array_equal(pyseg.quickshift(moved, kernel_size=2, channel_axis=axis), expected)
    tensor = pyseg.quickshift(torch.from_numpy(moved.copy()), kernel_size=2, channel_axis=axis)
    np.testing.assert_array_equal(tensor.numpy(), expected)


class ByDlpack:
    """An array of a library that nobody knows."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_an_array_with_dlpack():
    image = samples.image("photo", (30, 41), None, "float32")
    np.testing.assert_array_equal(pyseg.quickshift(ByDlpack(image)), pyseg.quickshift(image))


def test_a_generator_is_drawn_from():
    image, rng = samples.image("flat", (30, 41)), np.random.default_rng(5)
    first, second = (pyseg.quickshift(image, kernel_size=2, rng=rng) for _ in range(2))
    np.testing.assert_array_equal(first, pyseg.quickshift(image, kernel_size=2, rng=5))
    assert not np.array_equal(first, second)


def test_signature_is_the_references():
    ours = inspect.signature(pyseg.quickshift).parameters
    assert [(p.name, p.kind, p.default) for p in ours.values()] == [
        (p.name, p.kind, p.default) for p in inspect.signature(reference).parameters.values()
    ]
