"""The rules of quick shift on examples worked out by hand: they hold in the library and in its definition alike."""

import numpy as np
import pytest
import samples
import skimage.color

import pyseg
from pyseg.reference import quickshift as reference

both = pytest.mark.parametrize("quickshift", [pyseg.quickshift, reference], ids=["library", "reference"])


@both
def test_a_flat_image_is_one_segment(quickshift):
    for shape in ((1, 1), (1, 2), (2, 2), (7, 9), (30, 31)):
        for options in ({}, {"kernel_size": 1.0, "max_dist": 1.0}):
            assert not quickshift(np.full(shape, 99, np.uint8), **options).any()


@both
def test_the_first_of_equal_densities_is_the_higher(quickshift):
    _, parents, distances = quickshift(np.zeros((1, 3)), kernel_size=1, return_tree=True)
    np.testing.assert_array_equal(parents, [[1, 1, 1]])
    np.testing.assert_array_equal(distances, [[1, np.inf, 1]])
    _, parents, _ = quickshift(np.zeros((1, 4)), kernel_size=1, return_tree=True)
    np.testing.assert_array_equal(parents, [[1, 1, 1, 2]])
    _, parents, _ = quickshift(np.zeros((2, 2)), kernel_size=1, return_tree=True)
    np.testing.assert_array_equal(parents, [[0, 0], [0, 1]])


@both
def test_distances_are_of_colour_and_space(quickshift):
    image = np.array([[0, 0.03]])
    for ratio, distance in ((1.0, 10**0.5), (2.0, 37**0.5), (0.0, 1.0)):
        labels, _, distances = quickshift(image, ratio, max_dist=distance + 0.01, return_tree=True)
        np.testing.assert_allclose(distances, [[np.inf, distance]], rtol=1e-6)
        assert labels.tolist() == [[0, 0]]
        assert quickshift(image, ratio, max_dist=distance - 0.01).tolist() == [[0, 1]]
    lab = skimage.color.rgb2lab(np.array([[[0.2, 0.5, 0.4], [0.3, 0.5, 0.4]]]))
    expected = np.sqrt(((lab[0, 0] - lab[0, 1]) ** 2).sum() + 1)
    _, _, distances = quickshift(np.array([[[0.2, 0.5, 0.4], [0.3, 0.5, 0.4]]]), return_tree=True)
    np.testing.assert_allclose(distances[0, 1], expected, rtol=1e-3)


@both
def test_a_link_as_long_as_max_dist_stays(quickshift):
    image = np.zeros((1, 2))
    assert quickshift(image, max_dist=1.0).tolist() == [[0, 0]]
    assert quickshift(image, max_dist=np.nextafter(np.float32(1), 0)).tolist() == [[0, 1]]


@both
def test_two_halves_are_two_segments(quickshift):
    image = np.zeros((20, 30), np.uint8)
    image[:, 17:] = 255
    np.testing.assert_array_equal(quickshift(image, start_label=3), np.tile(3 + (np.arange(30) >= 17), (20, 1)))


@both
def test_segments_are_numbered_by_their_first_pixels(quickshift):
    labels = quickshift(samples.image("photo", (40, 50)), kernel_size=2, max_dist=4)
    _, first = np.unique(labels, return_index=True)
    assert labels.max() > 20
    assert len(first) == labels.max() + 1
    assert (np.diff(first) > 0).all()


@both
def test_mirrored_images_have_mirrored_segments(quickshift):
    """Densities do not depend on the order of their sums; of noise neither they nor distances are equal."""
    image = samples.image("noise", (30, 35), 3, "float32")
    _, parents, distances = quickshift(image, 0.1, 2.0, return_tree=True)
    index = np.arange(30 * 35).reshape(30, 35)
    for turn in (lambda x: x[::-1], lambda x: x[:, ::-1], lambda x: x[::-1, ::-1]):
        _, mirrored, same_distances = quickshift(turn(image), 0.1, 2.0, return_tree=True)
        np.testing.assert_array_equal(turn(index).ravel()[turn(mirrored)], parents)
        np.testing.assert_array_equal(turn(same_distances), distances)


@both
def test_nan_and_infinity_are_errors(quickshift):
    for dtype in ("float16", "float32", "float64"):
        for value in (np.nan, np.inf, -np.inf):
            image = samples.image("photo", (20, 30), 3, dtype)
            image[11, 13, 1] = value
            with pytest.raises(ValueError, match="quickshift: image must be finite"):
                quickshift(image)


def test_statistics_come_last():
    image = samples.image("photo", (40, 50))
    labels, stats = pyseg.quickshift(image, kernel_size=2, return_stats=True, start_label=1)
    assert stats.n == labels.max()
    np.testing.assert_array_equal(stats.area, np.bincount(labels.ravel())[1:])
    results = pyseg.quickshift(image, kernel_size=2, return_stats=True, return_tree=True, start_label=1)
    np.testing.assert_array_equal(results[0], labels)
    assert results[1].shape == results[2].shape == labels.shape
    np.testing.assert_array_equal(results[3].mean_lab, stats.mean_lab)
