"""The rules of felzenszwalb, worked by hand: of the op and of its definition."""

import numpy as np
import pytest
import scipy.ndimage

import pyseg
from pyseg.reference import felzenszwalb as reference
from pyseg.reference.felzenszwalb import smooth, taps


@pytest.fixture(params=["op", "reference"])
def segment(request):
    function = pyseg.felzenszwalb if request.param == "op" else reference
    return lambda rows, k=1.0, min_size=0, sigma=0.0: function(
        np.array(rows, np.float64), 255.0 * k, sigma, min_size, channel_axis=None
    ).tolist()


def test_a_single_pixel_tolerates_less_than_k(segment):
    assert segment([[0, 1]], k=1.0) == [[0, 1]]
    assert segment([[0, 1]], k=np.nextafter(np.float32(1), np.float32(2))) == [[0, 0]]
    assert segment([[0, 1]], k=1 + 1e-9) == [[0, 1]]  # float32(1 + 1e-9) is 1


def test_a_component_tolerates_its_largest_edge_and_k_over_its_size(segment):
    # 0.5 joins the first two; they then tolerate 0.5 + k / 2.
    assert segment([[0, 0.5, 1.4375]], k=1.0) == [[0, 0, 0]]
    assert segment([[0, 0.5, 1.5]], k=1.0) == [[0, 0, 1]]
    assert segment([[0, 0.5, 1.5, 2.25]], k=1.0) == [[0, 0, 1, 1]]
    assert segment([[0, 0.5, 1.4375, 2.1875]], k=1.0) == [[0, 0, 0, 0]]


def test_both_have_to_tolerate_it(segment):
    assert segment([[0, 0, 0, 0, 0.5]], k=1.0) == [[0, 0, 0, 0, 1]]  # k / 4
    assert segment([[0, 0, 0, 0, 0.125]], k=1.0) == [[0, 0, 0, 0, 0]]


def test_neighbours_are_eight(segment):
    assert segment([[0, 5], [5, 0]]) == [[0, 1], [1, 0]]
    assert segment([[0, 5, 9], [9, 0, 5]], k=0.5) == [[0, 1, 2], [3, 0, 1]]


def test_the_distance_of_colours_is_euclidean():
    image = np.array([[[0, 0, 0], [0.3, 0.4, 0], [0.3, 0.4, 0.9]]])
    for k, expected in ((0.4999, [0, 1, 2]), (0.5001, [0, 0, 1])):
        for function in (pyseg.felzenszwalb, reference):
            assert function(image, 255 * k, 0, 0).tolist() == [expected]


def test_small_components_join_across_their_least_edge(segment):
    row = [[0, 0, 0, 5, 9, 9, 9]]
    assert segment(row, min_size=1) == [[0, 0, 0, 1, 2, 2, 2]]
    assert segment(row, min_size=2) == [[0, 0, 0, 1, 1, 1, 1]]
    assert segment(row, min_size=3) == [[0, 0, 0, 1, 1, 1, 1]]
    assert segment(row, min_size=4) == [[0, 0, 0, 0, 0, 0, 0]]


def test_what_has_grown_enough_absorbs_no_more(segment):
    assert segment([[0, 2, 5, 9]], min_size=2) == [[0, 0, 0, 0]]
    assert segment([[0, 2, 5, 6]], min_size=2) == [[0, 0, 1, 1]]
    assert segment([[0, 2, 5, 6]], min_size=3) == [[0, 0, 0, 0]]


def test_of_equal_edges_the_direction_decides_and_then_raster_order(segment):
    assert segment([[0, 0, 5, 10, 10]], min_size=2) == [[0, 0, 0, 1, 1]]
    assert segment([[0], [0], [5], [10], [10]], min_size=2) == [[0], [0], [0], [1], [1]]
    assert segment([[5, 0, 0], [10, 20, 20], [10, 20, 20]], min_size=2) == [[0, 0, 0], [1, 2, 2], [1, 2, 2]]
    assert segment([[5, 10, 10], [0, 20, 20], [0, 20, 20]], min_size=2) == [[0, 0, 0], [1, 2, 2], [1, 2, 2]]


def test_numbers_follow_the_first_pixels(segment):
    assert segment([[9, 0, 0], [9, 9, 4]], k=0.1) == [[0, 1, 1], [0, 0, 2]]


@pytest.mark.parametrize("sigma", [0.5, 0.8, 1.0])
@pytest.mark.parametrize("shape", [(30, 40), (3, 2), (1, 9)])
def test_smoothing_is_scipys(sigma, shape):
    if not np.array_equal(scipy.ndimage.gaussian_filter1d(np.eye(1, 9, 4)[0], sigma), taps_on(9, sigma)):
        pytest.skip("NumPy's exp is not the C library's here")
    image = np.random.default_rng(0).random((*shape, 3))
    ours = smooth(smooth(image, sigma, 0), sigma, 1)
    np.testing.assert_array_equal(ours, scipy.ndimage.gaussian_filter(image, (sigma, sigma, 0)))


def taps_on(size, sigma):
    """A single 1 in the middle of a row, smoothed."""
    return smooth(np.eye(1, size, size // 2)[0][:, None], sigma, 0)[:, 0]


def test_taps_sum_to_one_and_are_symmetric():
    for sigma in (0.01, 0.125, 0.7, 3, 100, 1000):
        kernel = taps(sigma)
        assert len(kernel) == 2 * int(4 * sigma + 0.5) + 1
        assert kernel.sum() == pytest.approx(1)
        np.testing.assert_array_equal(kernel, kernel[::-1])
