"""What pyseg.slic promises of every result, on ten thousand random problems; and that memory layout does not matter."""

import numpy as np
import pytest
import samples
import skimage.measure
from numpy.lib.stride_tricks import as_strided

import pyseg

BLOCK = 50  # problems solved in one way before the settings change


def problems(seed, count):
    """(image, options) of 8..40 pixels a side: mostly bytes, of every kind, dtype and option."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        volume = rng.random() < 0.15
        shape = tuple(rng.integers(2, 12, 3)) if volume else tuple(rng.integers(8, 41, 2))
        channels = [None, 1, 2, 3, 3, 3, 3, 5][rng.integers(8)]
        dtype = ["uint8", "uint8", "uint8", "uint8", *samples.DTYPES][rng.integers(9)]
        kind = samples.KINDS[rng.integers(len(samples.KINDS))]
        options = {
            "n_segments": int(rng.integers(1, max(3, int(np.prod(shape)) // int(rng.choice([3, 20, 60, 120]))))),
            "compactness": float(rng.choice([1, 10, 10, 30, 100])),
            "max_iter": int(rng.integers(0, 6)),
            "min_size_factor": float(rng.choice([0, 0.25, 0.25, 1, 5])),
            "start_label": int(rng.integers(0, 3)),
            "channel_axis": None if channels is None else -1,
        }
        if rng.random() < 0.15:
            options["mask"] = samples.blobs(shape, int(rng.integers(2**32)))
        if rng.random() < 0.1:
            options["slic_zero"] = True
        if rng.random() < 0.1:
            options["tol"] = 0.2
        if rng.random() < 0.2:
            options["sigma"] = float(rng.choice([0, 0.8]))
        if rng.random() < 0.05:
            options["spacing"] = tuple(rng.uniform(0.5, 2, len(shape)))
        if rng.random() < 0.1:
            options["initial_centers"] = rng.uniform(-2, 42, (int(rng.integers(1, 300)), len(shape)))
        yield samples.image(kind, shape, channels, dtype, int(rng.integers(2**32))), options


def run_torch(image, options):
    """As pyseg.slic(image), by way of torch."""
    import torch

    options = dict(options)
    for name in {"mask", "initial_centers"} & options.keys():
        options[name] = torch.from_numpy(options[name])
    return pyseg.slic(torch.from_numpy(image), **options).numpy()


def check_promises(image, options, labels):
    """Dense labels, each one component, of the right type and shape, in memory of their own."""
    start, mask = options["start_label"], options.get("mask")
    spatial = image.shape if options["channel_axis"] is None else image.shape[:-1]
    assert labels.dtype == np.int32
    assert labels.shape == spatial
    assert not np.may_share_memory(labels, image)
    inside = labels.ravel() if mask is None else labels[mask]
    count = int(inside.max()) - start + 1
    assert (np.bincount(inside - start, minlength=count) > 0).all()
    if mask is not None:
        assert (labels[~mask] == start - 1).all()
    components = skimage.measure.label(labels, background=start - 1, connectivity=1, return_num=True)[1]
    assert components == count


# How a block is solved the second time: threads, instruction set, by way of torch.
WAYS = [
    (threads, isa, torch) for torch in (False, True) for isa in ("baseline", "avx2", "avx512") for threads in (1, 2, 4)
]


@pytest.mark.parametrize(("threads", "isa", "by_torch"), WAYS)
def test_labels_are_dense_connected_and_the_same_whatever_computes_them(threads, isa, by_torch, set_isa):
    import torch

    first = WAYS.index((threads, isa, by_torch))
    for block in range(first, 200, len(WAYS)):
        batch = [(image, options, image.copy()) for image, options in problems(block, BLOCK)]
        pyseg.set_num_threads(1)
        set_isa("")
        expected = [pyseg.slic(image, **options) for image, options, _ in batch]
        pyseg.set_num_threads(threads)
        torch.set_num_threads(threads)
        set_isa(isa)
        for (image, options, copy), labels in zip(batch, expected, strict=True):
            check_promises(image, options, labels)
            again = run_torch(image, options) if by_torch else pyseg.slic(image, **options)
            np.testing.assert_array_equal(again, labels, err_msg=f"{image.shape} {image.dtype} {options}")
            assert np.array_equal(image, copy)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("options", [{}, {"enforce_connectivity": False}, {"n_segments": 3000}], ids=str)
def test_larger_images_are_the_same_whatever_computes_them(dtype, options, isa, set_isa):
    import torch

    image = samples.image("cells", (233, 311), 3, dtype)
    options = {"n_segments": 200, "start_label": 0, "channel_axis": -1} | options
    set_isa("")
    pyseg.set_num_threads(1)
    expected = pyseg.slic(image, **options)
    set_isa(isa)
    for threads in (1, 2, 3, 4):
        pyseg.set_num_threads(threads)
        torch.set_num_threads(threads)
        np.testing.assert_array_equal(pyseg.slic(image, **options), expected)
        np.testing.assert_array_equal(run_torch(image, options), expected)


def test_about_as_many_superpixels_as_asked_for():
    image = samples.image("photo", (200, 300))
    for wanted in (10, 60, 200, 600):
        assert abs(pyseg.slic(image, wanted).max() + 1 - wanted) <= 0.25 * wanted + 2


def test_more_superpixels_than_16_bits_count():
    labels = pyseg.slic(samples.image("noise", (300, 400)), 100_000, 100.0, 1, min_size_factor=0)
    assert labels.max() > 2**16
    assert np.array_equal(np.unique(labels), np.arange(labels.max() + 1))


# ---- layouts: each a view of an array, or the same values in another


def unaligned(a):
    buffer = np.zeros(a.nbytes + 1, np.uint8)
    view = buffer[1:].view(a.dtype).reshape(a.shape)
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
    "channels from a wider array": lambda a: np.concatenate([a, a], axis=-1)[..., 1:4],
    "one row over and over": lambda a: np.broadcast_to(a[:1], a.shape),
    "one column over and over": lambda a: np.broadcast_to(a[:, :1], a.shape),
    "one value over and over": lambda a: np.broadcast_to(a[:1, :1, :1], a.shape),
    "one channel thrice": lambda a: np.broadcast_to(a[..., :1], a.shape),
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
    for options in ({}, {"sigma": 0.7}, {"n_segments": 200}):
        np.testing.assert_array_equal(pyseg.slic(view, **options), pyseg.slic(plain, **options))


@pytest.mark.parametrize("shape", [(40, 50), (6, 20, 30)])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_channels_may_be_on_any_axis(shape, dtype):
    image = samples.image("cells", shape, 3, dtype)
    expected = pyseg.slic(image, 20)
    for axis in range(len(shape) + 1):
        moved = np.moveaxis(image, -1, axis)
        for view in (moved, np.ascontiguousarray(moved)):
            np.testing.assert_array_equal(pyseg.slic(view, 20, channel_axis=axis), expected)
            np.testing.assert_array_equal(pyseg.slic(view, 20, channel_axis=axis - len(shape) - 1), expected)


@pytest.mark.parametrize("change", [np.asfortranarray, read_only, lambda m: m[::-1], lambda m: m.astype(np.int64) * -3])
def test_masks_of_any_layout_and_type(change, unchanged):
    image, mask = samples.image("photo", (40, 50)), samples.blobs((40, 50))
    changed = change(mask)
    unchanged(changed, image)
    np.testing.assert_array_equal(
        pyseg.slic(image, 20, mask=changed), pyseg.slic(image, 20, mask=np.ascontiguousarray(changed != 0))
    )


@pytest.mark.parametrize(
    "change", [np.asfortranarray, np.float32, np.int16, lambda c: c[::-1][::-1], lambda c: c.astype(">f8")]
)
def test_centres_of_any_layout_and_type(change, unchanged):
    image, centers = samples.image("photo", (40, 50)), np.array([[3, 4], [30, 40], [20, 11]], np.float64)
    changed = change(centers)
    unchanged(changed)
    expected = pyseg.slic(image, initial_centers=centers)
    np.testing.assert_array_equal(pyseg.slic(image, initial_centers=changed), expected)


def test_the_range_of_an_integer_type_is_a_floats_0_to_1():
    image = samples.image("cells", (40, 50), 3, "uint8")
    as_float = pyseg.slic(image * np.float32(1 / 255), 20)
    for same in (image.astype(np.uint16) * 257, (image * np.float32(1 / 255)).astype(np.float64)):
        np.testing.assert_array_equal(pyseg.slic(same, 20), as_float)


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
        labels = pyseg.slic(same, 20)
        assert isinstance(labels, np.ndarray)
        np.testing.assert_array_equal(labels, pyseg.slic(image, 20))
