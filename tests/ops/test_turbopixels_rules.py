"""The rules of TurboPixels on examples worked out by hand, in the library and its definition; the paper's equations."""

import math

import numpy as np
import pytest
import samples
import scipy.ndimage
import skimage.measure
from hypothesis import given
from hypothesis import strategies as st

import pyseg
from pyseg.reference import _turbopixels_flow as flow
from pyseg.reference import _turbopixels_image as image_of
from pyseg.reference import turbopixels as reference
from pyseg.reference._turbopixels_image import f32

both = pytest.mark.parametrize("turbopixels", [pyseg.turbopixels, reference], ids=["library", "reference"])


@both
def test_a_flat_image_is_its_grid(turbopixels):
    """To the line of pixels in which two fronts meet."""
    labels = turbopixels(np.full((40, 60), 77, np.uint8), 6)
    grid = np.arange(6).reshape(2, 3).repeat(20, 0).repeat(20, 1)
    y, x = np.indices(grid.shape)
    inside = np.minimum(np.minimum(y % 20, 19 - y % 20), np.minimum(x % 20, 19 - x % 20)) >= 1
    np.testing.assert_array_equal(labels[inside], grid[inside])
    assert abs(np.bincount(labels.ravel()) - 400).max() <= 60


@both
def test_fronts_stop_at_an_edge(turbopixels):
    """The right one has 12 pixels more to go than the left one; without the edge they would meet in the middle."""
    image = np.zeros((40, 80), np.uint8)
    image[:, 28:] = 255
    labels = turbopixels(image, 2)
    np.testing.assert_array_equal(labels, (np.arange(80) >= 28)[None].repeat(40, 0))
    assert abs((turbopixels(np.zeros_like(image), 2) == 0).mean() - 0.5) < 0.02


@both
def test_edges_between_colours_of_one_brightness_count(turbopixels):
    image = np.zeros((40, 80, 3), np.uint8)
    image[:, :28], image[:, 28:] = [200, 0, 0], [0, 102, 0]  # both have a luma of 60
    np.testing.assert_array_equal(turbopixels(image, 2), (np.arange(80) >= 28)[None].repeat(40, 0))


@both
def test_every_pixel_its_own_where_there_are_enough(turbopixels):
    for wanted in (12, 13, 10**9):
        labels = turbopixels(np.zeros((3, 4), np.uint8), wanted, start_label=2)
        np.testing.assert_array_equal(labels, np.arange(2, 14).reshape(3, 4))


@both
def test_without_a_step_the_discs_grow_over_what_is_alike(turbopixels):
    image = np.zeros((30, 60), np.uint8)
    image[:, 30:] = 255
    labels = turbopixels(image, 2, max_iter=0)
    np.testing.assert_array_equal(labels, (np.arange(60) >= 30)[None].repeat(30, 0))


@both
def test_the_flow_ends_by_itself(turbopixels):
    image = samples.image("photo", (50, 60))
    np.testing.assert_array_equal(turbopixels(image, 20), turbopixels(image, 20, max_iter=501))


@both
def test_small_components_are_absorbed(turbopixels):
    """Noise lets fronts retreat and leave islands behind."""
    options = {"beta": 8.0, "gamma": 100.0, "max_iter": 100}
    islands = 0
    for seed in range(4):
        image = samples.image("noise", (40, 40), None, "uint8", seed)
        raw, labels = (turbopixels(image, 9, enforce_connectivity=enforce, **options) for enforce in (False, True))
        assert raw.max() + 1 == 9
        islands += skimage.measure.label(raw, background=-1, connectivity=1).max() - 9
        assert skimage.measure.label(labels, background=-1, connectivity=1).max() == labels.max() + 1
        assert np.bincount(labels.ravel()).min() >= 40 * 40 // 9 // 16
    assert islands > 0


def growth(steps, alpha):
    """How much the radius of a disc of 8 pixels grows on a flat image."""
    psi, owner = flow.start((101, 101), [(50, 50)], 8.0)
    phi = np.ones_like(psi)
    for _ in range(steps):
        psi, owner = flow.evolve(psi, owner, flow.velocity(psi, phi, np.zeros(psi.shape, bool), alpha, 1.0))
    np.testing.assert_array_equal(owner >= 0, psi < 0)
    y, x = np.indices(psi.shape) - 50
    return (np.hypot(y, x) - psi)[abs(psi) <= 0.5].mean() - 8


@pytest.mark.parametrize("steps", [15, 30, 60])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_a_front_moves_with_its_velocity(steps, alpha):
    """dr/dt = 1 - alpha / r, to 4 %."""
    radius = 8.0
    for _ in range(50 * steps):
        radius += 0.01 * (1 - alpha / radius)
    assert growth(steps, alpha) == pytest.approx(radius - 8, rel=0.04)


def test_fronts_move_alike_in_all_directions():
    y, x = np.indices((120, 120)) - 60
    for angle in np.radians([0, 10, 22.5, 30, 45, 60, 75, 90]):
        ahead = x * math.cos(angle) + y * math.sin(angle)
        psi = np.clip(ahead + 30, -flow.BAND, flow.BAND).astype(f32)
        owner, phi = np.where(psi < 0, 0, -1), np.ones_like(psi)
        for _ in range(60):
            psi, owner = flow.evolve(psi, owner, flow.velocity(psi, phi, np.zeros(psi.shape, bool), 0.3, 1.0))
        front = (abs(psi) <= 0.5) & (np.maximum(abs(x), abs(y)) < 30)
        assert (ahead - psi)[front].mean() + 30 == pytest.approx(30, rel=0.01)


def test_a_front_that_nothing_moves_stays():
    """Else the sweeps would never find a pixel whose surroundings did not change."""
    psi, owner = flow.start((60, 60), [(15, 15), (40, 42)], 7.0)
    still = np.ones(psi.shape, bool)
    before = psi
    for _ in range(12):
        before, (psi, owner) = psi, flow.evolve(psi, owner, flow.velocity(psi, np.ones_like(psi), still, 0.3, 1.0))
    np.testing.assert_array_equal(psi, before)


def test_velocity_is_the_papers():
    """A front that is a line, moving right, over an affinity that falls to the right by 0.02 a pixel."""
    psi = np.tile(np.clip(np.arange(-10, 11), -4, 4).astype(f32), (9, 1))
    phi = np.tile((0.6 - 0.02 * np.arange(-10, 11)).astype(f32), (9, 1))
    speed = flow.velocity(psi, phi, np.zeros(psi.shape, bool), 0.3, 3.0)
    assert speed[4, 10] == pytest.approx(0.6 + 3 * 0.02, rel=1e-5)  # kappa = 0, N . grad phi = -0.02
    still = np.ones(psi.shape, bool)
    assert not flow.velocity(psi, phi, still, 0.3, 3.0).any()


def test_affinity_is_the_papers():
    """phi = exp(-E / nu), E = |grad I| / (c G_sigma * |grad I| + gamma), in other words and float64."""
    planes = image_of.smoothed_planes(samples.image("photo", (50, 60)))
    sigma, gamma, nu = 3.0, 10.0, 0.08
    down, across = np.gradient(planes.astype(float), axis=(1, 2))
    magnitude = np.sqrt((down**2 + across**2).mean(0))
    mean = scipy.ndimage.gaussian_filter(magnitude, sigma, mode="nearest", truncate=3.0)
    energy = magnitude / (math.sqrt(math.pi / 2) * sigma * mean + gamma)
    inner = np.s_[12:-12, 12:-12]  # np.gradient is one-sided at the border
    np.testing.assert_allclose(
        image_of.affinity(planes, sigma, gamma, nu)[inner], np.exp(-energy / nu)[inner], rtol=1e-3, atol=1e-6
    )


def test_a_long_edge_does_not_compete_with_itself():
    """G_sigma * |grad I|, as scaled, is |grad I| itself on a line one pixel wide: E is 1 for a small gamma."""
    for sigma in (4.0, 7.0):
        magnitude = np.zeros((81, 81), f32)
        magnitude[:, 40] = 100
        scaled = math.sqrt(math.pi / 2) * sigma * image_of.local_mean(magnitude, sigma)
        assert scaled[40, 40] == pytest.approx(50, rel=0.02)  # a step in I has a gradient two pixels wide: 2 * 50


@pytest.mark.parametrize("sigma", [3.0, 8.0, 13.0, 31.0])
def test_the_mean_in_cells_is_near_the_gaussian(sigma):
    y, x = np.indices((300, 310))
    a = (1 + np.sin(x / sigma) * np.cos(0.7 * y / sigma)).astype(f32)
    exact = scipy.ndimage.gaussian_filter(a.astype(float), sigma, mode="nearest", truncate=5.0)
    inner = np.s_[100:-100, 100:-100]
    assert np.ptp(exact[inner]) > 0.5
    np.testing.assert_allclose(image_of.local_mean(a, sigma)[inner], exact[inner], atol=0.02)
    np.testing.assert_allclose(image_of.local_mean(np.ones((30, 40), f32), sigma), 1, rtol=1e-5)


def test_smoothing_leaves_straight_edges_and_removes_specks():
    edge = np.zeros((20, 20, 1), np.uint8)
    edge[:, 9:] = 200
    np.testing.assert_allclose(image_of.smoothed_planes(edge)[0], edge[..., 0], rtol=1e-6)
    speck = np.zeros((21, 21, 1), np.uint8)
    speck[9:12, 9:12] = 200
    smooth = image_of.smoothed_planes(speck)[0]
    assert (smooth[[9, 9, 11, 11], [9, 11, 9, 11]] < 0.6 * 200).all()  # the corners go first
    assert smooth[10, 10] > 0.9 * 200


def test_decay_is_the_exponential():
    x = np.concatenate([[0], np.geomspace(1e-30, 87, 20000)]).astype(f32)
    np.testing.assert_allclose(image_of.decay(x), np.exp(-x.astype(float)), rtol=4e-6)
    assert (image_of.decay(np.array([88, 1e10, np.inf], f32)) == f32(2.0**-126)).all()
    assert image_of.decay(np.zeros(1, f32))[0] == 1


place_seeds = reference.__globals__["place_seeds"]


def test_seeds_leave_edges():
    phi = np.ones((64, 64), f32)
    phi[:, 30:35] = 0.1
    seeds = place_seeds(phi, 2, 2)
    assert seeds == [(16, 16), (16, 48), (48, 16), (48, 48)]
    assert place_seeds(phi, 1, 1) == [(32, 29)]


def test_seeds_are_apart():
    for seed in range(30):
        rng = np.random.default_rng(seed)
        shape = rng.integers(1, 40, 2)
        rows, columns = (int(rng.integers(1, size + 1)) for size in shape)
        seeds = place_seeds(rng.random(shape, f32), rows, columns)
        assert len(set(seeds)) == rows * columns


@given(st.integers(0, 2**32 - 1), st.integers(1, 24), st.integers(1, 24))
def test_thinning_keeps_the_topology(seed, height, width):
    """As many lines and regions, and what lies within what, as before."""
    rng = np.random.default_rng(seed)
    assigned = scipy.ndimage.gaussian_filter(rng.random((height, width)), rng.random() * 2) > rng.uniform(0.4, 0.6)
    outside = scipy.ndimage.distance_transform_edt(~np.pad(assigned, 1, constant_values=assigned.any() == 0))
    psi = np.where(assigned, -0.5, np.minimum(outside[1:-1, 1:-1] - 0.5, flow.BAND)).astype(f32)
    left = flow.skeleton(psi)
    assert not (left & assigned).any()
    before, after = (np.pad(there, 1, constant_values=True) for there in (~assigned, left))
    for there in (before, after):
        assert there.any()
    for connectivity, flip in ((2, False), (1, True)):
        counts = [
            skimage.measure.label(~there if flip else there, connectivity=connectivity).max()
            for there in (before, after)
        ]
        assert counts[0] == counts[1]


def test_the_skeleton_is_the_line_between_two_regions():
    psi = np.tile(np.minimum(np.abs(np.arange(21) - 3.0), np.abs(np.arange(21) - 13.0)) - 1.5, (15, 1)).astype(f32)
    np.testing.assert_array_equal(flow.skeleton(psi)[:, 4:13].sum(1), 1)
    middle = flow.skeleton(psi)[:, 4:13].argmax(1) + 4
    assert abs(middle - 8).max() <= 1
