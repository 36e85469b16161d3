"""The rules of SLIC on examples worked out by hand: they hold in the library and in its definition alike."""

import numpy as np
import pytest
import samples
import skimage.color

import pyseg
from pyseg.reference import connectivity, lab
from pyseg.reference import slic as reference
from pyseg.reference._slic_seeds import grid_places, lowest_gradient, nearest_int, seed_grid

both = pytest.mark.parametrize("slic", [pyseg.slic, reference], ids=["library", "reference"])


def grey(*rows, side=6):
    """An image of squares, one a digit; 9 is white."""
    digits = np.array([[int(d) for d in row] for row in rows])
    return np.repeat(np.repeat((digits * 28).astype(np.uint8), side, 0), side, 1)


@both
def test_a_flat_image_is_its_grid(slic):
    labels = slic(np.full((40, 60), 77, np.uint8), 6)
    np.testing.assert_array_equal(labels, np.arange(6).reshape(2, 3).repeat(20, 0).repeat(20, 1))


@both
def test_two_halves_are_two_superpixels(slic):
    image = np.zeros((40, 80), np.uint8)
    image[:, 36:] = 255
    np.testing.assert_array_equal(slic(image, 2, sigma=0), (np.arange(80) >= 36)[None].repeat(40, 0))


@both
def test_compactness_decides_between_colour_and_place(slic):
    image = grey("000900", "000900", "000900", side=10)
    follows = slic(image, 8, 0.5, sigma=0)
    square = slic(image, 8, 1e6, sigma=0)
    assert all(np.ptp(image[follows == k]) == 0 for k in range(follows.max() + 1))
    np.testing.assert_array_equal(square, np.arange(8).reshape(2, 4).repeat(15, 0).repeat(15, 1))


@both
def test_every_pixel_its_own_where_there_are_enough(slic):
    for wanted in (12, 13, 10**9):
        np.testing.assert_array_equal(
            slic(np.zeros((3, 4), np.uint8), wanted, start_label=2), np.arange(2, 14).reshape(3, 4)
        )


@both
def test_no_pass_from_a_warm_start_is_the_nearest_centre(slic):
    centers = np.array([[5.0, 5.0], [5.0, 14.0], [14.0, 9.0]])
    y, x = np.indices((20, 20))
    distance = abs(y[..., None] - centers[:, 0]) + abs(x[..., None] - centers[:, 1])
    options = {"initial_centers": centers, "max_iter": 0, "enforce_connectivity": False}
    np.testing.assert_array_equal(slic(np.zeros((20, 20), np.float32), 1, **options), distance.argmin(-1))


@both
def test_outside_the_mask_the_label_is_one_less_than_the_first(slic):
    mask = np.zeros((30, 30), bool)
    mask[5:12, 3:20] = mask[20:25, 20:29] = True
    labels = slic(np.zeros((30, 30, 3), np.uint8), 5, mask=mask, start_label=4)
    np.testing.assert_array_equal(labels == 3, ~mask)
    assert set(labels[mask]) == set(range(4, labels.max() + 1))


@both
def test_islands_of_a_mask_keep_a_superpixel_each(slic):
    mask = np.zeros((30, 40), bool)
    mask[2:25, 2:20] = mask[28, 38] = mask[28, 30] = True
    labels = slic(samples.image("noise", (30, 40)), 3, mask=mask, min_size_factor=50.0)
    assert labels.max() == 2
    assert labels[28, 38] != labels[28, 30]


@both
def test_a_volume_of_one_slice_is_its_image(slic):
    image = samples.image("photo", (40, 50), 3, "float32")
    np.testing.assert_array_equal(slic(image[None], 20)[0], slic(image, 20))


@both
def test_spacing_is_relative(slic):
    image = samples.image("photo", (40, 50), 3, "float32")
    expected = slic(image, 20, spacing=(1, 2))
    np.testing.assert_array_equal(slic(image, 20, spacing=(8, 16)), expected)


# ---- the parts of the definition


def test_small_components_join_the_neighbour_of_nearest_colour():
    clusters = np.array([[[0, 0, 0, 2, 1, 1, 1], [0, 0, 0, 2, 1, 1, 1]]])
    near_0, near_1, between = ([[10.0], [90.0], [c]] for c in (20.0, 80.0, 50.0))
    for colors, expected in ((near_0, 0), (near_1, 1), (between, 0)):
        labels = connectivity.enforce(clusters, np.array(colors, np.float32), 3)
        assert labels[0, :, 3].tolist() == [expected, expected]
    assert connectivity.enforce(clusters, np.array(near_0, np.float32), 2).max() == 2


def test_absorption_goes_in_rounds_from_what_is_kept():
    clusters = np.array([[[0, 0, 0, 0, 1, 2, 3]]])
    labels = connectivity.enforce(clusters, np.array([[0], [90], [91], [92]], np.float32), 2)
    assert labels.max() == 0  # each joins what its neighbour joined before


def test_where_nothing_is_large_the_largest_is_kept_of_equals_the_first():
    clusters = np.array([[[3, 1, 1, 0, 0, -1, 2, 5, 5]]])
    labels = connectivity.enforce(clusters, np.zeros((6, 1), np.float32), 100)
    assert labels.ravel().tolist() == [0, 0, 0, 0, 0, -1, 1, 1, 1]


def test_superpixels_are_numbered_by_cluster_then_by_first_pixel():
    clusters = np.array([[[2, 2, 0, 0, 2, 2], [1, 1, 0, 0, 1, 1]]])
    labels = connectivity.enforce(clusters, np.zeros((3, 1), np.float32), 0)
    assert labels[0].tolist() == [[3, 3, 0, 0, 4, 4], [1, 1, 0, 0, 2, 2]]


def test_components_touch_by_faces_only():
    assert connectivity.components(np.array([[[0, 1], [1, 0]]])).max() == 3
    assert connectivity.components(np.array([[[0, 1]], [[0, 0]]])).ravel().tolist() == [0, 1, 0, 0]


def test_the_seeds_are_the_middles_of_a_grid():
    assert seed_grid((1, 40, 60), 6, (1, 1, 1)) == ([1, 2, 3], 20.0)
    assert seed_grid((1, 40, 60), 6, (1, 2, 1)) == ([1, 3, 2], 30.0)
    assert grid_places((1, 4, 6), (1, 2, 3)) == [(0, y, x) for y in (0.5, 2.5) for x in (0.5, 2.5, 4.5)]
    assert [nearest_int(x) for x in (0.5, 1.5, 2.4, 0.49999999999999994, -0.5)] == [1, 2, 2, 0, -1]


def test_seeds_leave_edges_but_not_flat_places():
    image = np.zeros((1, 9, 9, 1))
    image[..., 5:, :] = 100
    assert lowest_gradient(image, 0, 4, 4) == (-1, -1)  # column 3 is the first that sees no edge
    assert lowest_gradient(np.zeros((1, 9, 9, 1)), 0, 4, 4) == (0, 0)
    assert lowest_gradient(image, 0, 1, 4) == (0, 0)  # no room for a gradient


def test_cielab_is_cielab():
    values = np.arange(0, 256, 15, dtype=np.uint8)
    rgb = np.stack(np.meshgrid(values, values, values), axis=-1).reshape(-1, 1, 3)
    expected = skimage.color.rgb2lab(rgb)
    assert abs(lab.lab_floats((rgb / 255).astype(np.float32)) - expected).max() < 0.02
    halves = (lab.lab_bytes(rgb).astype(float) - [0, 128, 128]) / 2
    clamped = np.clip(expected, [0, -64, -64], [100, 63.5, 63.5])
    assert abs(halves - clamped).max() < 0.3
