"""What pyseg.turbopixels promises of every result, whatever computes it; layouts, kinds of array, processes."""

import threading

import numpy as np
import pytest
import samples
import skimage.measure
from numpy.lib.stride_tricks import as_strided

import pyseg

BLOCK = 12  # problems solved in one way before the settings change


def problems(seed, count):
    """(image, options) of 1..90 pixels a side, of every kind, dtype and option."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        shape = tuple(int(size) for size in rng.integers(1, 91, 2))
        channels = [None, 1, 2, 3, 3, 3, 5][rng.integers(7)]
        kind, dtype = samples.KINDS[rng.integers(len(samples.KINDS))], samples.DTYPES[rng.integers(5)]
        options = {
            "n_segments": int(rng.integers(1, max(3, int(np.prod(shape)) // int(rng.choice([3, 20, 60, 120]))))),
            "alpha": float(rng.choice([0, 0.3, 0.3, 1.5])),
            "beta": float(rng.choice([0, 1, 1, 8])),
            "nu": float(rng.choice([0.02, 0.08, 0.08, 1])),
            "max_iter": int(rng.choice([0, 5, 40, 500])),
            "start_label": int(rng.integers(0, 3)),
            "channel_axis": None if channels is None else -1,
        }
        if rng.random() < 0.2:
            options["sigma"] = float(rng.choice([0.5, 5, 50]))
        yield samples.image(kind, shape, channels, dtype, int(rng.integers(2**32))), options


def run_torch(image, options):
    """As pyseg.turbopixels(image), by way of torch."""
    import torch

    return pyseg.turbopixels(torch.from_numpy(image), **options).numpy()


def check_promises(image, options, labels):
    """Dense labels, each one component, of the right type and shape, in memory of their own."""
    start = options["start_label"]
    assert labels.dtype == np.int32
    assert labels.shape == image.shape[:2]
    assert not np.may_share_memory(labels, image)
    count = int(labels.max()) - start + 1
    assert labels.min() == start
    assert (np.bincount(labels.ravel() - start, minlength=count) > 0).all()
    assert skimage.measure.label(labels, background=-1, connectivity=1, return_num=True)[1] == count


# How a block is solved the second time: threads, instruction set, by way of torch.
WAYS = [
    (threads, isa, torch) for torch in (False, True) for isa in ("baseline", "avx2", "avx512") for threads in (1, 2, 4)
]


@pytest.mark.parametrize(("threads", "isa", "by_torch"), WAYS)
def test_labels_are_dense_connected_and_the_same_whatever_computes_them(threads, isa, by_torch, set_isa):
    import torch

    first = WAYS.index((threads, isa, by_torch))
    for block in range(first, 3 * len(WAYS), len(WAYS)):
        batch = [(image, options, image.copy()) for image, options in problems(block, BLOCK)]
        pyseg.set_num_threads(1)
        set_isa("")
        expected = [pyseg.turbopixels(image, **options) for image, options, _ in batch]
        pyseg.set_num_threads(threads)
        torch.set_num_threads(threads)
        set_isa(isa)
        for (image, options, copy), labels in zip(batch, expected, strict=True):
            check_promises(image, options, labels)
            again = run_torch(image, options) if by_torch else pyseg.turbopixels(image, **options)
            np.testing.assert_array_equal(again, labels, err_msg=f"{image.shape} {image.dtype} {options}")
            assert np.array_equal(image, copy)


@pytest.mark.parametrize("kind", ["photo", "cells"])
def test_larger_images_are_the_same_whatever_computes_them(kind, isa, set_isa):
    import torch

    image = samples.image(kind, (333, 271), 3, "uint8")
    options = {"n_segments": 300, "enforce_connectivity": kind == "photo"}
    set_isa("")
    pyseg.set_num_threads(1)
    expected = pyseg.turbopixels(image, **options)
    set_isa(isa)
    for threads in (1, 2, 3, 4):
        pyseg.set_num_threads(threads)
        torch.set_num_threads(threads)
        np.testing.assert_array_equal(pyseg.turbopixels(image, **options), expected)
        np.testing.assert_array_equal(run_torch(image, options), expected)


def test_about_as_many_superpixels_as_asked_for():
    image = samples.image("photo", (200, 300))
    for wanted in (10, 60, 200, 600):
        assert abs(pyseg.turbopixels(image, wanted).max() + 1 - wanted) <= 0.1 * wanted + 2


def test_more_superpixels_than_16_bits_count():
    labels = pyseg.turbopixels(samples.image("noise", (400, 500)), 100_000, max_iter=10)
    assert labels.max() > 2**16
    assert np.array_equal(np.unique(labels), np.arange(labels.max() + 1))


def unaligned(a):
    view = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def read_only(a):
    a = a.copy()
    a.setflags(write=False)
    return a


LAYOUTS = {
    "Fortran order": np.asfortranarray,
    "reversed": lambda a: a[::-1, ::-1],
    "channels reversed": lambda a: a[..., ::-1],
    "every second": lambda a: np.repeat(np.repeat(a, 2, 0), 3, 1)[::2, 1::3],
    "transposed": lambda a: a.transpose(1, 0, 2),
    "one row over and over": lambda a: np.broadcast_to(a[:1], a.shape),
    "one value over and over": lambda a: np.broadcast_to(a[:1, :1, :1], a.shape),
    "overlapping rows": lambda a: as_strided(a, a.shape, (a.strides[2] * 5, a.strides[1], a.strides[2])),
    "read-only": read_only,
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "unaligned": unaligned,
}


@pytest.mark.parametrize("dtype", samples.DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_does_not_matter(layout, dtype, unchanged):
    view = LAYOUTS[layout](samples.image("photo", (50, 61), 3, dtype))
    unchanged(view)
    plain = np.ascontiguousarray(view, dtype=view.dtype.newbyteorder("="))
    np.testing.assert_array_equal(pyseg.turbopixels(view, 20), pyseg.turbopixels(plain, 20))


def test_channels_may_be_on_any_axis():
    image = samples.image("cells", (40, 50), 3)
    expected = pyseg.turbopixels(image, 20)
    for axis in range(3):
        moved = np.moveaxis(image, -1, axis)
        for view in (moved, np.ascontiguousarray(moved)):
            np.testing.assert_array_equal(pyseg.turbopixels(view, 20, channel_axis=axis), expected)
            np.testing.assert_array_equal(pyseg.turbopixels(view, 20, channel_axis=axis - 3), expected)


def test_the_range_of_an_integer_type_is_a_floats_0_to_1():
    image = samples.image("cells", (40, 50), 3, "uint8")
    as_float = pyseg.turbopixels(image * np.float32(1 / 255), 20)
    for same in (image, image.astype(np.uint16) * 257, (image * np.float32(1 / 255)).astype(np.float64)):
        np.testing.assert_array_equal(pyseg.turbopixels(same, 20), as_float)


def test_anything_with_dlpack_or_an_array_interface():
    from PIL import Image

    class ByDlpack:
        def __init__(self, array):
            self.array, self.shape = array, array.shape

        def __dlpack__(self, **how):
            return self.array.__dlpack__(**how)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    image = samples.image("photo", (40, 50))
    for same in (ByDlpack(image), Image.fromarray(image)):
        labels = pyseg.turbopixels(same, 20)
        assert isinstance(labels, np.ndarray)
        np.testing.assert_array_equal(labels, pyseg.turbopixels(image, 20))


def test_eight_python_threads_at_once():
    images = [samples.image("photo", (60 + i, 80), 3, "uint8" if i % 2 else "float32", i) for i in range(8)]
    pyseg.set_num_threads(2)
    expected = [pyseg.turbopixels(image, 30) for image in images]
    wrong = []

    def work(i):
        for _ in range(5):
            if not np.array_equal(pyseg.turbopixels(images[i], 30), expected[i]):
                wrong.append(i)

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

image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
if sys.argv[1] == "torch":
    import torch
    image = torch.from_numpy(image)
for i in range(601):
    pyseg.turbopixels(image, 5 + i % 7, max_iter=30, return_stats=i % 10 == 0)
    if i == 100:
        before = resident()
print(resident() - before)
"""


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_memory_is_flat(kind, run_python):
    assert int(run_python(MEMORY, kind, timeout=200)) < 4 * 2**20
