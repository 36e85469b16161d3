"""pyseg.roi_align and its gradient are their definition, bit for bit, and what torchvision computed."""

import inspect

import numpy as np
import pytest
import torch
from box_goldens import golden
from hypothesis import given, settings
from hypothesis import strategies as st

import pyseg
from pyseg.reference import roi_align as reference
from pyseg.reference import roi_align_backward as reference_backward

KINDS = {"float16": np.float16, "float32": np.float32, "float64": np.float64}


def problem(seed=0, shape=(2, 5, 16, 20), count=9, dtype="float32"):
    """(features, boxes): some boxes reach beyond the map."""
    rng = np.random.default_rng(seed)
    batch, _, height, width = shape
    size = np.array([width, height])
    middle, half = rng.random((count, 2)) * size, rng.random((count, 2)) * size * 0.4
    boxes = np.concatenate([rng.integers(0, batch, (count, 1)), middle - half, middle + half], 1)
    kind = np.float64 if dtype == "float64" else np.float32
    return rng.normal(size=shape).astype(dtype), boxes.astype(kind)


def backward(features, boxes, gradient, *options):
    """By way of torch."""
    leaf = torch.from_numpy(features).requires_grad_()
    pyseg.roi_align(leaf, torch.from_numpy(boxes), *options).backward(torch.from_numpy(gradient))
    return leaf.grad.numpy()


def check(features, boxes, size, *options):
    expected = reference(features, boxes, size, *options)
    for array in (features, np.ascontiguousarray(features.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)):
        mine = pyseg.roi_align(array, boxes, size, *options)
        assert mine.dtype == features.dtype
        np.testing.assert_array_equal(mine, expected)
        by_torch = pyseg.roi_align(torch.from_numpy(array), torch.from_numpy(boxes), size, *options)
        np.testing.assert_array_equal(by_torch.numpy(), expected)
        gradient = np.random.default_rng(1).normal(size=expected.shape).astype(features.dtype)
        np.testing.assert_array_equal(
            backward(array, boxes, gradient, size, *options),
            reference_backward(gradient, boxes, features.shape, *options),
        )


# Name: (problem's arguments, output_size, spatial_scale, sampling_ratio, aligned).
TABLE = {
    "not aligned": ({}, (3, 4), 1.0, 2, False),
    "aligned": ({}, (3, 4), 1.0, 2, True),
    "adaptive": ({}, (2, 3), 1.0, 0, True),
    "adaptive, not aligned": ({}, (5, 5), 0.5, -1, False),
    "of three samples a side": ({}, (2, 2), 1.0, 3, True),
    "of one sample": ({}, (7, 7), 1.0, 1, True),
    "one bin": ({}, (1, 1), 0.25, 0, False),
    "an odd scale": ({}, (3, 3), 0.3, 2, True),
    "one channel": ({"shape": (1, 1, 9, 9)}, (3, 3), 1.0, 2, True),
    "a whole group of channels": ({"shape": (1, 16, 9, 9)}, (3, 3), 1.0, 2, True),
    "four groups and one": ({"shape": (1, 80, 7, 9)}, (2, 2), 1.0, 2, True),
    "seven groups and some": ({"shape": (1, 115, 7, 9), "count": 3}, (2, 2), 1.0, 2, True),
    "more blocks than one": ({"shape": (1, 3, 5, 70)}, (2, 9), 1.0, 2, True),
    "few samples of a large map": ({"shape": (2, 3, 120, 150), "count": 2}, (2, 2), 1.0, 2, True),
    "one sample in many channels": ({"shape": (1, 40, 90, 300), "count": 1}, (1, 1), 0.3, 1, False),
    "one pixel": ({"shape": (2, 3, 1, 1)}, (2, 2), 1.0, 2, True),
    "one row": ({"shape": (1, 3, 1, 30)}, (2, 2), 1.0, 2, False),
    "one column": ({"shape": (1, 3, 30, 1)}, (2, 2), 1.0, 0, False),
}
both = pytest.mark.parametrize("dtype", KINDS)


@both
@pytest.mark.parametrize("name", TABLE)
def test_equals_the_reference(name, dtype):
    arguments, *options = TABLE[name]
    check(*problem(**arguments, dtype=dtype), *options)


@both
@pytest.mark.parametrize("name", ["adaptive", "seven groups and some", "few samples of a large map"])
def test_equals_the_reference_on_every_instruction_set(name, dtype, isa):
    arguments, *options = TABLE[name]
    check(*problem(**arguments, dtype=dtype), *options)


@pytest.mark.parametrize("threads", [2, 3, 4])
@pytest.mark.parametrize("name", ["adaptive", "seven groups and some", "few samples of a large map"])
def test_equals_the_reference_on_threads(name, threads):
    pyseg.set_num_threads(threads)
    torch.set_num_threads(threads)
    arguments, *options = TABLE[name]
    check(*problem(**arguments), *options)


STRANGE = {
    "empty": (7, 7, 7, 7),
    "turned inside out": (12.5, 3, 11, 2),
    "turned inside out, widely": (15, 14, 1, 2),
    "outside": (30, 30, 40, 44),
    "outside on the left": (-40, -30, -20, -11),
    "smaller than a pixel": (1.25, 2.5, 1.75, 2.75),
    "around the map": (-7, -9, 40, 35),
    "on the last pixel": (18, 14, 20, 16),
    "at the border of what counts": (-1, -1, 20, 16),
}


@both
@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("sampling", [0, 1, 2])
def test_strange_boxes(name, sampling, dtype):
    features, boxes = problem(dtype=dtype, count=1)
    boxes = np.array([[1, *STRANGE[name]]], boxes.dtype)
    for aligned in (False, True):
        check(features, boxes, (3, 2), 1.0, sampling, aligned)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -1e30, 1e9, 3e38])
@pytest.mark.parametrize("sampling", [0, 2])
def test_boxes_of_no_size_that_counts(value, sampling):
    """No error, no wait; what lies on the map counts. (The definition would take a step a sample.)"""
    features, boxes = problem()
    for corner in range(1, 5):
        wild = boxes.copy()
        wild[::2, corner] = value
        for aligned in (False, True):
            result = pyseg.roi_align(features, wild, 3, 1.0, sampling, aligned)
            assert np.isfinite(result).all()
            expected = pyseg.roi_align(features, boxes, 3, 1.0, sampling, aligned)
            np.testing.assert_array_equal(result[1::2], expected[1::2])
            one_pixel = not aligned and corner > 2 and value == -np.inf  # at least that
            if not one_pixel and (abs(value) > 1e36 or value != value):
                np.testing.assert_array_equal(result[::2], 0)


def test_of_a_huge_box_the_samples_on_the_map_count():
    """A bin of 2^20 pixels with a sample a pixel: 16 x 20 of them on the map, of equal values."""
    features = np.ones((1, 1, 16, 20), np.float64)
    box = np.array([[0, 0, 0, 2.0**20, 2.0**20]])
    result = pyseg.roi_align(features, box, 1)
    assert result[0, 0, 0, 0] == 16 * 20 / 2.0**40


def test_the_mean_of_a_plane_is_its_value_in_the_middle():
    y, x = np.mgrid[:30, :40].astype(np.float64)
    features = (2 * x + 3 * y)[None, None]
    for sampling in (0, 1, 4):
        result = pyseg.roi_align(features, np.array([[0, 4.0, 6.0, 20.0, 16.0]]), (2, 4), 1.0, sampling, True)
        middle_x, middle_y = 4 + 4 * (np.arange(4) + 0.5) - 0.5, 6 + 5 * (np.arange(2) + 0.5) - 0.5
        np.testing.assert_allclose(result[0, 0], 2 * middle_x + 3 * middle_y[:, None], rtol=1e-12)


@st.composite
def problems(draw):
    seed = draw(st.integers(0, 2**32 - 1))
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 40)), draw(st.integers(1, 24)), draw(st.integers(1, 40)))
    features, boxes = problem(seed, shape, draw(st.integers(0, 5)), draw(st.sampled_from(list(KINDS))))
    rng = np.random.default_rng(seed)
    spread = draw(st.sampled_from([0.0, 0.5, 3.0, 30.0]))
    boxes[:, 1:] += rng.normal(size=boxes[:, 1:].shape) * spread
    if draw(st.booleans()):
        boxes[:, 1:] = np.round(boxes[:, 1:])
    size = (draw(st.integers(1, 5)), draw(st.integers(1, 5)))
    scale = draw(st.sampled_from([1.0, 0.5, 0.25, 0.3, 1.7]))
    return features, boxes, size, scale, draw(st.integers(-1, 3)), draw(st.booleans())


@settings(max_examples=80)
@given(problems())
def test_equals_the_reference_on_anything(case):
    check(*case)


@pytest.mark.parametrize("case", range(5))
def test_goldens(case):
    config, inputs, outputs = golden("roi_align.a")
    scale, height, width, sampling, aligned = config["cases"][case]
    features, boxes = inputs["features"], inputs["rois"]
    options = ((height, width), scale, sampling, aligned)
    expected = outputs[f"case{case}"]
    gradient = inputs["cotangent"][: expected.size].reshape(expected.shape)
    wanted = outputs[f"case{case}.grad"]
    for dtype in ("float32", "float64"):  # of seven digits
        mine = pyseg.roi_align(features.astype(dtype), boxes, *options)
        np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-6 * abs(expected).max())
        mine = backward(features.astype(dtype), boxes, gradient.astype(dtype), *options)
        np.testing.assert_allclose(mine.ravel()[: wanted.size], wanted, rtol=0, atol=1e-6 * abs(wanted).max())


def test_goldens_of_a_pyramid():
    config, inputs, outputs = golden("multiscale_roi_align.a")
    layer = pyseg.nn.MultiScaleRoIAlign(
        ["f0", "f1", "f2"],
        tuple(config["output"]),
        config["sampling"],
        canonical_scale=config["canonical_scale"],
        canonical_level=config["canonical_level"],
    )
    maps = {name: torch.from_numpy(inputs[name]) for name in ("f0", "f1", "f2")}
    boxes = [torch.from_numpy(inputs["boxes0"]), torch.from_numpy(inputs["boxes1"])]
    scales = layer.scales(list(maps.values()), config["image_sizes"])
    np.testing.assert_array_equal(scales, outputs["scales"])
    np.testing.assert_array_equal(layer.levels(boxes, scales).numpy(), outputs["levels"])
    result = layer(maps | {"other": maps["f0"]}, boxes, config["image_sizes"])
    np.testing.assert_allclose(result.numpy(), outputs["output"], rtol=0, atol=2e-6)
    with pytest.raises(ValueError, match="MultiScaleRoIAlign: maps must have one of"):
        layer({"x": maps["f0"]}, boxes, config["image_sizes"])


def test_a_pyramid_of_one_level_is_that_level():
    features, boxes = (torch.from_numpy(a) for a in problem(shape=(1, 4, 16, 20)))
    layer = pyseg.nn.MultiScaleRoIAlign(["x"], 3, 2)
    result = layer({"x": features}, [boxes[:, 1:]], [(32, 40)])
    assert torch.equal(result, pyseg.roi_align(features, boxes, 3, 0.5, 2))


def test_the_layer_is_the_function():
    features, boxes = (torch.from_numpy(a) for a in problem())
    layer = pyseg.nn.RoIAlign((2, 3), 0.5, 2, True)
    assert torch.equal(layer(features, boxes), pyseg.roi_align(features, boxes, (2, 3), 0.5, 2, True))
    assert repr(layer) == "RoIAlign(output_size=(2, 3), spatial_scale=0.5, sampling_ratio=2, aligned=True)"


def test_boxes_as_a_list_are_those_of_each_image():
    features, boxes = problem(shape=(3, 4, 16, 20))
    boxes = boxes[np.argsort(boxes[:, 0], kind="stable")]
    listed = [boxes[boxes[:, 0] == i, 1:] for i in range(3)]
    expected = pyseg.roi_align(features, boxes, 3)
    np.testing.assert_array_equal(pyseg.roi_align(features, listed, 3), expected)
    by_torch = pyseg.roi_align(torch.from_numpy(features), [torch.from_numpy(b) for b in listed], 3)
    np.testing.assert_array_equal(by_torch.numpy(), expected)
    empty = [np.empty((0, 4), np.float32)] * 3
    assert pyseg.roi_align(features, empty, 3).shape == (0, 4, 3, 3)


@pytest.mark.parametrize("shape", [(0, 3, 5, 5), (2, 0, 5, 5), (2, 3, 5, 5)])
def test_nothing_in_nothing_out(shape):
    features = np.ones(shape, np.float32)
    boxes = np.zeros((0 if shape[0] == 0 or shape[1] else 4, 5), np.float32)
    result = pyseg.roi_align(features, boxes, (2, 3))
    assert result.shape == (len(boxes), shape[1], 2, 3)
    leaf = torch.from_numpy(features).requires_grad_()
    pyseg.roi_align(leaf, torch.from_numpy(boxes), (2, 3)).sum().backward()
    assert leaf.grad.shape == shape
    assert not leaf.grad.any()


LAYOUTS = {
    "Fortran order": np.asfortranarray,
    "reversed": lambda a: a[::-1, ::-1, ::-1, ::-1],
    "every second": lambda a: np.repeat(np.repeat(a, 2, 2), 3, 3)[:, :, ::2, 1::3],
    "one map over and over": lambda a: np.broadcast_to(a[:1], a.shape),
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "channels last": lambda a: np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
}


@both
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_does_not_matter(layout, dtype, unchanged):
    features, boxes = problem(dtype=dtype)
    view = LAYOUTS[layout](features)
    unchanged(view, boxes)
    plain = np.ascontiguousarray(view, dtype=view.dtype.newbyteorder("="))
    expected = pyseg.roi_align(plain, boxes, 3)
    np.testing.assert_array_equal(pyseg.roi_align(view, np.asfortranarray(boxes), 3), expected)
    result = pyseg.roi_align(view, boxes[::-1].astype(">f8"), 3)
    np.testing.assert_array_equal(result, expected[::-1])
    if layout == "channels last":
        assert result.transpose(0, 2, 3, 1).flags.c_contiguous


def test_large_maps_in_channels_last_order():
    """Read many times, and so copied group by group."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(1, 40, 256, 260)).astype(np.float32)
    boxes = np.tile(np.array([[0, 5, 9, 250, 240.5]], np.float32), (400, 1)) + rng.random((400, 5)).astype("f4") * 0.5
    last = np.ascontiguousarray(features.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    expected = pyseg.roi_align(features, boxes, 14, 1.0, 2)
    np.testing.assert_array_equal(pyseg.roi_align(last, boxes, 14, 1.0, 2), expected)
    np.testing.assert_array_equal(expected[7], reference(features, boxes[7:8], (14, 14), 1.0, 2)[0])


def test_signature_is_torchvisions():
    names = list(inspect.signature(pyseg.roi_align).parameters)
    assert names == ["features", "boxes", "output_size", "spatial_scale", "sampling_ratio", "aligned"]
