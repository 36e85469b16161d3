"""superpixel_stats against its definition."""

import numpy as np
import pytest
import samples
from hypothesis import given
from hypothesis import strategies as st

import pyseg
from pyseg.reference import superpixel_stats as reference


def check(labels, image, **options):
    mine = pyseg.superpixel_stats(labels, image, **options)
    theirs = reference(labels, image, **options)
    for name in ("area", "bbox", "edges", "boundary_length"):
        np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name), err_msg=name)
    for name in ("center", "mean_color", "mean_lab"):
        a, b = getattr(mine, name), getattr(theirs, name)
        assert (a is None) == (b is None), name
        if a is not None:
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-3 if name == "mean_lab" else 1e-5, err_msg=name)
    assert (mine.n, mine.start_label) == (theirs.n, theirs.start_label)
    for name in ("area", "center", "bbox", "mean_color", "edges", "boundary_length"):
        assert getattr(mine, name).dtype == getattr(theirs, name).dtype, name
    return mine


@pytest.mark.parametrize("dtype", samples.DTYPES)
@pytest.mark.parametrize("channels", [None, 1, 3, 5])
def test_equals_the_definition(dtype, channels):
    image = samples.image("photo", (40, 50), channels, dtype)
    axis = None if channels is None else -1
    check(pyseg.slic(image, 30, channel_axis=axis), image, channel_axis=axis)


def test_equals_the_definition_in_a_volume():
    image = samples.image("photo", (7, 20, 22), 3, "float32")
    stats = check(pyseg.slic(image, 20), image)
    assert stats.bbox.shape == (stats.n, 6)
    assert stats.center.shape == (stats.n, 3)


def test_labels_outside_are_left_out():
    image = samples.image("photo", (40, 50))
    mask = samples.blobs((40, 50), 0)
    labels = pyseg.slic(image, 20, mask=mask, start_label=3)
    stats = check(labels, image, start_label=3)
    assert stats.area.sum() == mask.sum()
    assert stats.edges.min() >= 3


def test_labels_without_a_pixel_have_no_area_and_no_box():
    labels = np.zeros((4, 5), int)
    labels[:, 3:] = 2
    stats = check(labels, np.arange(20, dtype=np.uint8).reshape(4, 5))
    assert stats.area.tolist() == [12, 0, 8]
    assert stats.bbox[1].tolist() == [0, 0, 0, 0]
    assert stats.edges.tolist() == [[0, 2]]
    assert stats.boundary_length.tolist() == [4]


def test_does_not_depend_on_threads():
    image = samples.image("noise", (90, 110), 3, "float32")
    labels = pyseg.slic(image, 60)
    pyseg.set_num_threads(1)
    one = pyseg.superpixel_stats(labels, image)
    for threads in (2, 4):
        pyseg.set_num_threads(threads)
        more = pyseg.superpixel_stats(labels, image)
        for name in ("area", "center", "mean_color", "mean_lab", "edges", "boundary_length"):
            np.testing.assert_array_equal(getattr(one, name), getattr(more, name))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_warm_start_from_statistics_stays(dtype):
    image = samples.image("cells", (60, 70), 3, dtype)
    labels, stats = pyseg.slic(image, 30, return_stats=True)
    again = pyseg.slic(image, max_iter=0, initial_centers=stats.initial_centers)
    assert (again == labels).mean() > 0.5


@given(seed=st.integers(0, 2**32 - 1), dims=st.sampled_from([2, 3]), labels=st.integers(1, 30), n=st.integers(0, 40))
def test_equals_the_definition_on_any_labels(seed, dims, labels, n):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 30 if dims == 2 else 10, dims))
    channels = [None, 1, 3, 3, 4][rng.integers(5)]
    kind, dtype = samples.KINDS[rng.integers(len(samples.KINDS))], samples.DTYPES[rng.integers(len(samples.DTYPES))]
    image = samples.image(kind, shape, channels, dtype, seed)
    ids = (rng.integers(-3, labels, shape) // 2 * 2).astype(["int8", "int16", "int32", "int64"][rng.integers(4)])
    axis = None if channels is None else -1
    check(ids, image, n=n, start_label=int(rng.integers(0, 4)), channel_axis=axis)
    check(ids, image, channel_axis=axis)


@pytest.mark.parametrize("wild", [2**32, -(2**32), 2**32 + 1, 2**33, -(2**63)])
def test_labels_beyond_32_bits_are_left_out(wild):
    labels = np.array([[0, 1, wild], [0, 1, wild]])
    image = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert check(labels, image, n=2).area.tolist() == [2, 2]
    if wild < 0:
        assert check(labels, image).area.tolist() == [2, 2]


def test_unsigned_labels_beyond_32_bits_are_left_out():
    labels = np.array([[0, 1, 2**64 - 2**32]], np.uint64)
    assert pyseg.superpixel_stats(labels, np.zeros((1, 3)), n=2).area.tolist() == [1, 1]


@pytest.mark.parametrize("change", [np.asfortranarray, lambda a: a[::-1], lambda a: a.astype(">i8"), np.uint16])
def test_labels_of_any_layout_and_type(change, unchanged):
    image = samples.image("photo", (40, 50))
    labels = pyseg.slic(image, 20)
    changed = change(labels)
    unchanged(changed, image)
    check(changed, image)


@pytest.mark.parametrize("dtype", samples.DTYPES)
def test_images_of_any_layout(dtype, unchanged):
    image = samples.image("photo", (40, 50), 3, dtype)
    labels = pyseg.slic(image, 20)
    views = (image[::-1, ::-1], np.asfortranarray(image), np.broadcast_to(image[:1], image.shape), image[..., ::-1])
    for view in (*views, image.astype(image.dtype.newbyteorder())):
        unchanged(view)
        check(labels, view)
    check(labels, np.moveaxis(image, -1, 0), channel_axis=0)


@pytest.mark.parametrize("dtype", samples.DTYPES)
def test_tensors_give_the_same_as_tensors(dtype):
    import torch

    image = samples.image("cells", (40, 50), 3, dtype)
    labels = pyseg.slic(image, 20)
    mine = pyseg.superpixel_stats(torch.from_numpy(labels), torch.from_numpy(image))
    theirs = pyseg.superpixel_stats(labels, image)
    for name in ("area", "center", "bbox", "mean_color", "mean_lab", "edges", "boundary_length", "initial_centers"):
        assert isinstance(getattr(mine, name), torch.Tensor), name
        np.testing.assert_array_equal(getattr(mine, name).numpy(), getattr(theirs, name), err_msg=name)


@pytest.mark.parametrize("dtype", samples.DTYPES)
def test_what_slic_returns_is_what_the_function_returns(dtype):
    image = samples.image("photo", (40, 50), 3, dtype)
    for lab in (None, False):
        labels, stats = pyseg.slic(image, 20, start_label=3, convert2lab=lab, return_stats=True)
        again = pyseg.superpixel_stats(labels, image, start_label=3, convert2lab=lab)
        for name in ("area", "center", "bbox", "mean_color", "mean_lab", "edges", "boundary_length", "initial_centers"):
            np.testing.assert_array_equal(getattr(stats, name), getattr(again, name), err_msg=name)
