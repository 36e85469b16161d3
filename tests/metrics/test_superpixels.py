"""The measures of superpixels: values worked by hand, stored values, a second implementation, and hostile arguments."""

import importlib.util
import json
import os
import zlib
from pathlib import Path

import numpy as np
import pytest

import pyseg
from pyseg import metrics

MAPS = (metrics.undersegmentation_error, metrics.achievable_segmentation_accuracy, metrics.boundary_recall)


def halves(height, width, at):
    """Label 0 left of column ``at``, 1 from there on."""
    return np.broadcast_to((np.arange(width) >= at).astype(np.int32), (height, width)).copy()


# ---- by hand


def test_a_superpixel_that_spills():
    # Of 4 x 10 pixels, superpixel 0 has columns 0..5, the segment 0 columns 0..4: 4 of its 24 pixels are outside.
    labels, truth = halves(4, 10, 6), halves(4, 10, 5)
    # Segment 0 meets superpixel 0 alone: min(20, 4). Segment 1 meets 0 with min(4, 20), and 1 with min(16, 0).
    assert metrics.undersegmentation_error(labels, truth) == 8 / 40
    assert metrics.achievable_segmentation_accuracy(labels, truth) == 36 / 40


def test_the_radius_of_boundary_recall():
    labels, truth = halves(4, 20, 8), halves(4, 20, 10)
    # The truth's boundary is columns 9 and 10, the superpixels' 7 and 8.
    assert [metrics.boundary_recall(labels, truth, radius=r) for r in range(4)] == [0, 0.5, 1, 1]
    assert metrics.boundary_recall(labels, truth) == 1  # 2 pixels are the default
    assert metrics.boundary_recall(truth, labels, radius=10**30) == 1
    assert metrics.boundary_recall(np.zeros((4, 20), int), truth, radius=100) == 0
    assert metrics.boundary_recall(labels, np.zeros((4, 20), int)) == 1


def test_the_window_of_boundary_recall_is_square():
    labels, truth = np.zeros((2, 9, 9), int)
    labels[0, 0] = 1
    truth[4, 4] = 1
    on = [(0, 0), (0, 1), (1, 0)]  # the superpixels' boundary
    want = [(4, 4), (3, 4), (5, 4), (4, 3), (4, 5)]
    for r in range(6):
        near = [any(max(abs(y - v), abs(x - u)) <= r for v, u in on) for y, x in want]
        assert metrics.boundary_recall(labels, truth, radius=r) == sum(near) / 5


def test_explained_variation_by_hand():
    image = np.array([[0, 2, 10, 12]])
    # Means 1 and 11 about the mean 6: 4 * 25 of a total of 36 + 16 + 16 + 36.
    assert metrics.explained_variation(np.array([[5, 5, 9, 9]]), image) == pytest.approx(100 / 104, rel=1e-14)
    assert metrics.explained_variation(np.array([[0, 1, 2, 3]]), image) == pytest.approx(1, rel=1e-14)
    assert metrics.explained_variation(np.zeros((1, 4), int), image) == 0


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64"])
def test_one_colour_is_explained(dtype):
    image = np.full((7, 5, 3), 0.1 if dtype.startswith("f") else 77).astype(dtype)
    assert metrics.explained_variation(np.zeros((7, 5), int), image) == 1


def test_explained_variation_of_extreme_values(photo):
    labels = pyseg.slic(photo, 60)
    want = metrics.explained_variation(labels, photo)
    for scale in (1e-300, 1e-20, 1e300):
        assert metrics.explained_variation(labels, photo * scale) == pytest.approx(want, rel=1e-9)
    assert 0 <= metrics.explained_variation(labels, np.full(photo.shape, np.finfo(float).max)) <= 1


def test_compactness_by_hand():
    assert metrics.compactness(np.zeros((6, 6), int)) == pytest.approx(np.pi / 4, rel=1e-14)
    row = np.zeros((1, 8), int)  # area 8, perimeter 18
    assert metrics.compactness(row) == pytest.approx(4 * np.pi * 8 / 18**2, rel=1e-14)
    # A pixel of its own within a 3 x 3 square: area 8 with perimeter 12 + 4, area 1 with 4.
    ring = np.zeros((3, 3), int)
    ring[1, 1] = 7
    assert metrics.compactness(ring) == pytest.approx(4 * np.pi * (64 / 256 + 1 / 16) / 9, rel=1e-14)


def test_perfect_superpixels(photo):
    labels = pyseg.slic(photo, 60)
    values = [measure(labels, labels // 1) for measure in MAPS]
    assert values == [0, 1, 1]


def test_people_are_averaged(photo):
    labels = pyseg.slic(photo, 60)
    people = np.stack([pyseg.slic(photo, k) for k in (5, 12, 30)])
    for measure in MAPS:
        each = [measure(labels, one) for one in people]
        assert len(set(each)) == 3
        assert measure(labels, people) == pytest.approx(np.mean(each), rel=1e-14)


# ---- stored values


def unit(name, shape):
    """Uniform in [0, 1) by 24 bits of a generator that ``name`` seeds."""
    bits = np.random.PCG64(zlib.crc32(name.encode())).random_raw(int(np.prod(shape))).astype(np.uint64)
    return ((bits >> np.uint64(40)) / float(2**24)).reshape(shape)


def blobs(name, shape, step=6):
    """Of the stored cases' images, the smooth part: a seeded grid, interpolated. [3, H, W]."""
    grid = unit(name, (3, *[(size - 1) // step + 2 for size in shape]))
    for axis, size in enumerate(shape, 1):
        low, rest = np.divmod(np.arange(size), step)
        part = (rest / step).reshape([-1] + [1] * (2 - axis))
        grid = np.take(grid, low, axis) * (1 - part) + np.take(grid, low + 1, axis) * part
    return grid


def image_of(case):
    shape, seed = case["labels"]["shape"], case["image"]["seed"]
    value = np.floor(200 * blobs(seed + "/blobs", shape) + 55 * unit(seed + "/noise", (3, *shape)))
    image = np.ascontiguousarray(np.moveaxis(value, 0, -1), np.float32)
    assert zlib.crc32(image.tobytes()) == case["image"]["crc32"]
    return image


def array_of(stored):
    values, counts = np.reshape(stored["runs"], (-1, 2)).T
    return np.repeat(values, counts).reshape(stored["shape"])


def measured(labels, truth, image):
    return {
        "ue": metrics.undersegmentation_error(labels, truth),
        "asa": metrics.achievable_segmentation_accuracy(labels, truth),
        "br1": metrics.boundary_recall(labels, truth, radius=1),
        "br2": metrics.boundary_recall(labels, truth, radius=2),
        "co": metrics.compactness(labels),
        "ev": metrics.explained_variation(labels, image),
    }


STORED = json.loads((Path(__file__).parents[1] / "data" / "superpixel_quality.json").read_text())["cases"]


@pytest.mark.parametrize("case", STORED, ids=[case["name"] for case in STORED])
def test_stored_values(case):
    got = measured(array_of(case["labels"]), np.stack([array_of(t) for t in case["truth"]]), image_of(case))
    assert got == pytest.approx(case["expected"], abs=1e-9)


@pytest.fixture(scope="module")
def tool():
    """A second implementation, which is no part of the project, and its photographs with human segmentations."""
    shared = Path(os.environ.get("PYSEG_SHARED") or Path(__file__).resolve().parents[3] / "shared")
    path = shared / "tools" / "superpixel_quality.py"
    if not path.is_file():
        pytest.skip("no tools/superpixel_quality.py in $PYSEG_SHARED, nor in ../shared")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if module.default_data() is None:
        pytest.skip("the tool's images are missing")
    return module


@pytest.mark.parametrize("segments", [100, 1000])
def test_the_second_implementation_agrees(tool, segments):
    for path, truth_path in tool.find_bsds(tool.default_data())[::5]:
        image = pyseg.images.read_image(path)
        truth = np.stack(tool.load_ground_truths(truth_path))
        labels = pyseg.slic(image, segments)
        want = tool.image_metrics(image, labels, list(truth), segments)
        got = measured(labels, truth, image)
        assert got == pytest.approx({key: want[key] for key in got}, abs=1e-9)


# ---- arguments


def test_labels_of_any_values(photo):
    """Names of superpixels and of segments mean nothing, however far apart; and nothing is sized by them."""
    labels, truth = pyseg.slic(photo, 200), pyseg.slic(photo, 9)
    want = measured(labels, truth, photo)
    order = np.random.default_rng(0).permutation(int(labels.max()) + 1)
    far = order[labels].astype(np.int64) * 10**12 - 2**62
    assert measured(far, truth.astype(np.uint64) + np.uint64(2**63), photo) == pytest.approx(want, rel=1e-12)
    assert measured(far.astype(">i8"), truth.astype(np.int8), photo) == pytest.approx(want, rel=1e-12)


def test_many_superpixels_and_many_segments():
    """A table of all pairs would have 65536 x 65536 entries."""
    labels = np.arange(2**16).reshape(256, 256)
    assert metrics.undersegmentation_error(labels, labels[::-1]) == 0
    assert metrics.achievable_segmentation_accuracy(labels, labels[::-1]) == 1


def test_any_strides_and_kinds_of_array(photo):
    torch = pytest.importorskip("torch")
    arrays = [pyseg.slic(photo, 60), pyseg.slic(photo, 9), photo.copy()]
    for array in arrays:
        array.flags.writeable = False
    strided = [array[::-1, ::2] for array in arrays]
    copies = [array.copy() for array in strided]
    want = measured(*copies)
    assert measured(*strided) == want
    assert measured(*map(torch.from_numpy, copies)) == want


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda a: metrics.compactness(a.astype(float)),
            TypeError,
            "compactness: labels must be integers, got float64",
        ),
        (
            lambda a: metrics.compactness(a[0]),
            ValueError,
            r"must be \[H, W\] with at least one pixel, got \[9\]",
        ),
        (lambda a: metrics.compactness(a[:0]), ValueError, r"got \[0, 9\]"),
        (lambda a: metrics.compactness("a"), TypeError, "labels must be a NumPy, CuPy or torch array"),
        (lambda a: metrics.boundary_recall(a, a, radius=-1), ValueError, "radius must be >= 0, got -1"),
        (lambda a: metrics.boundary_recall(a, a, radius=1.5), TypeError, "radius must be an integer, got 1.5"),
        (lambda a: metrics.boundary_recall(a, a[1:]), ValueError, r"truth must be \[9, 9\] or \[A, 9, 9\] as labels"),
        (lambda a: metrics.boundary_recall(a, a[None][:0]), ValueError, r"as labels, got \[0, 9, 9\]"),
        (lambda a: metrics.undersegmentation_error(a, a > 0.5), None, None),
        (lambda a: metrics.undersegmentation_error(a, a / 2), TypeError, "truth must be integers, got float64"),
        (lambda a: metrics.explained_variation(a, a[:, 1:]), ValueError, r"image must be \[9, 9\] or \[9, 9, C\] as"),
        (lambda a: metrics.explained_variation(a, np.zeros((9, 9, 0))), ValueError, r"got \[9, 9, 0\]"),
        (lambda a: metrics.explained_variation(a, a * np.nan), ValueError, "image must be finite, got NaN or infinity"),
        (lambda a: metrics.explained_variation(a, a * 1j), TypeError, "image must be numbers, got complex128"),
    ],
)
def test_a_wrong_argument_says_the_rule(call, error, message):
    array = np.zeros((9, 9), int)
    if error is None:
        assert isinstance(call(array), float)
        return
    with pytest.raises(error, match=message):
        call(array)


def test_one_pixel():
    one = np.zeros((1, 1), int)
    assert measured(one, one, one) == {"ue": 0, "asa": 1, "br1": 1, "br2": 1, "co": np.pi / 4, "ev": 1}
