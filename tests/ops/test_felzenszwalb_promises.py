"""What pyseg.felzenszwalb promises of every result; and that neither what computes it nor memory layout matters."""

import threading

import numpy as np
import pytest
import samples
import skimage.measure
from numpy.lib.stride_tricks import as_strided

import pyseg

WAYS = [
    (threads, isa, torch) for torch in (False, True) for isa in ("baseline", "avx2", "avx512") for threads in (1, 2, 4)
]


@pytest.fixture(scope="module")
def solved():
    """(image, options, labels) of several tiles each, by one thread and the widest instruction set."""
    rng = np.random.default_rng(0)
    pyseg.set_num_threads(1)
    result = []
    for kind in samples.KINDS:
        for scale in (1.0, 100.0):
            dtype, channels = samples.DTYPES[rng.integers(5)], [1, 3, 3, 4, 9][rng.integers(5)]
            image = samples.image(kind, (270 + int(rng.integers(40)), 259), channels, dtype, int(rng.integers(99)))
            options = {"scale": scale, "sigma": float(rng.choice([0, 0.5, 0.8, 2.3])), "min_size": 30}
            result.append((image, options, pyseg.felzenszwalb(image, **options)))
    return result


@pytest.mark.parametrize(("threads", "isa", "by_torch"), WAYS)
def test_labels_are_the_same_whatever_computes_them(threads, isa, by_torch, set_isa, solved):
    import torch

    pyseg.set_num_threads(threads)
    torch.set_num_threads(threads)
    set_isa(isa)
    for image, options, expected in solved:
        labels = pyseg.felzenszwalb(torch.from_numpy(image) if by_torch else image, **options)
        np.testing.assert_array_equal(np.asarray(labels), expected, err_msg=f"{image.shape} {image.dtype} {options}")


def test_labels_are_dense_and_connected_and_in_raster_order(solved):
    for image, _, labels in solved:
        assert labels.dtype == np.int32
        assert labels.shape == image.shape[:2]
        assert not np.may_share_memory(labels, image)
        found, first = np.unique(labels, return_index=True)
        np.testing.assert_array_equal(found, np.arange(labels.max() + 1))
        assert (np.diff(first) > 0).all()
        assert skimage.measure.label(labels, background=-1, connectivity=2, return_num=True)[1] == len(found)


@pytest.mark.parametrize("dtype", samples.DTYPES)
def test_memory_layout_does_not_matter(dtype, unchanged):
    image = samples.image("photo", (60, 70), 3, dtype)
    wide = np.zeros((60, 140, 5), dtype)
    wide[:, ::2, 1:4] = image
    expected = pyseg.felzenszwalb(image)
    views = {
        "Fortran order": np.asfortranarray(image),
        "strided": wide[:, ::2, 1:4],
        "reversed twice": image[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1],
        "byte-swapped": image.astype(image.dtype.newbyteorder()),
    }
    read_only = image.copy()
    read_only.flags.writeable = False
    views["read-only"] = read_only
    for name, view in views.items():
        unchanged(view)
        np.testing.assert_array_equal(pyseg.felzenszwalb(view), expected, err_msg=name)
    for axis in (0, 1, -2):
        moved = np.ascontiguousarray(np.moveaxis(image, -1, axis))
        np.testing.assert_array_equal(pyseg.felzenszwalb(moved, channel_axis=axis), expected)


def test_overlapping_and_repeated_memory():
    image = samples.image("photo", (60, 70))
    overlapping = as_strided(image, (50, 60, 3), (2, 4, 1))
    repeated = np.broadcast_to(image[:1], image.shape)
    for view in (overlapping, repeated):
        np.testing.assert_array_equal(pyseg.felzenszwalb(view), pyseg.felzenszwalb(view.copy()))


def test_an_image_of_two_axes_has_no_channels():
    image = samples.image("photo", (40, 50), None)
    for axis in (None, -1, 0, 2):
        np.testing.assert_array_equal(
            pyseg.felzenszwalb(image, channel_axis=axis), pyseg.felzenszwalb(image[..., None])
        )


def test_anything_with_dlpack():
    class Wrapped:
        def __init__(self, array):
            self.array = array

        def __dlpack__(self, **options):
            return self.array.__dlpack__(**options)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    image = samples.image("photo", (40, 50))
    np.testing.assert_array_equal(pyseg.felzenszwalb(Wrapped(image)), pyseg.felzenszwalb(image))


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_statistics_are_those_of_the_labels(kind):
    import torch

    image = samples.image("photo", (60, 70))
    given = image if kind == "numpy" else torch.from_numpy(image)
    labels, stats = pyseg.felzenszwalb(given, start_label=2, return_stats=True)
    again = pyseg.superpixel_stats(np.asarray(labels), image, start_label=2)
    assert stats.n == again.n == int(labels.max()) - 1
    assert type(stats.area) is type(labels)
    for name in ("area", "center", "bbox", "mean_color", "mean_lab", "edges", "boundary_length"):
        np.testing.assert_array_equal(np.asarray(getattr(stats, name)), getattr(again, name), err_msg=name)


def test_eight_python_threads_at_once():
    images = [samples.image("photo", (150 + i, 140), 3, "uint8" if i % 2 else "float32", i) for i in range(8)]
    pyseg.set_num_threads(2)
    expected = [pyseg.felzenszwalb(image) for image in images]
    wrong = []

    def work(i):
        wrong.extend(i for _ in range(5) if not np.array_equal(pyseg.felzenszwalb(images[i]), expected[i]))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert not any(thread.is_alive() for thread in threads)


MEMORY = """
import sys, numpy as np, pyseg

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

image = np.random.default_rng(0).integers(0, 256, (150, 140, 3), dtype=np.uint8)
if sys.argv[1] == "torch":
    import torch
    image = torch.from_numpy(image)
for i in range(301):
    pyseg.felzenszwalb(image, 1 + 200 * (i % 2), return_stats=i % 10 == 0)
    if i == 100:
        before = resident()
print(resident() - before)
"""


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_memory_is_flat_over_hundreds_of_calls(kind, run_python):
    assert int(run_python(MEMORY, kind, timeout=200)) < 4 * 2**20
