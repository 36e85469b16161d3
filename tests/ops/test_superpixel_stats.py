"""superpixel_stats against its definition."""

import numpy as np
import pytest
import samples

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
