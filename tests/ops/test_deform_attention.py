"""deform_attention against its definition, torch's grid_sample, and golden outputs of the official implementation."""

import numpy as np
import pytest
import torch
from deform_problems import (
    GOLDEN,
    by_torch,
    close,
    golden,
    golden_input,
    golden_weights,
    mismatch,
    random_fused,
    random_points,
    to,
)
from hypothesis import given
from hypothesis import strategies as st

import pyseg
from pyseg.ops._deform_torch import by_grid_sample
from pyseg.reference import deform_attention as defined
from pyseg.reference import deform_attention_fused as defined_fused

BARS = {torch.float64: 1e-13, torch.float32: 3e-6}


# ---- the definition


def test_the_definition_is_grid_samples():
    problem = random_points(low=-1, high=2)
    close(defined(*problem), by_torch(*problem), 1e-14)


def test_the_definition_by_hand():
    """One map of 2 x 2: a quarter of each pixel in the middle, half of the two on the right beyond them."""
    value = torch.tensor([1.0, 2.0, 4.0, 8.0]).reshape(1, 4, 1, 1)
    for place, expected in {(0.5, 0.5): 3.75, (1.0, 0.5): 2.5, (0.25, 0.25): 1.0, (1.3, 0.5): 0.0}.items():
        locations = torch.tensor(place).reshape(1, 1, 1, 1, 1, 2)
        for function in (defined, pyseg.deform_attention):
            got = function(value, [(2, 2)], locations, torch.ones(1, 1, 1, 1, 1))
            assert got.item() == pytest.approx(expected, abs=1e-6)


def test_gradcheck_of_the_definition():
    value, shapes, locations, weights = random_points(queries=2, heads=2, channels=2, points=2, batch=1)
    inputs = [x.requires_grad_() for x in (value, locations, weights)]
    assert torch.autograd.gradcheck(lambda v, p, w: defined(v, shapes, p, w), inputs)


# ---- the library


@pytest.mark.parametrize("dtype", BARS)
@given(
    st.integers(0, 2**31),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=4),
    st.integers(1, 3),
    st.integers(0, 40),
    st.integers(1, 4),
    st.integers(1, 70),
    st.integers(1, 6),
)
def test_any_shape(dtype, seed, shapes, batch, queries, heads, channels, points):
    options = {
        "shapes": shapes, "batch": batch, "queries": queries, "heads": heads, "channels": channels, "points": points,
    }  # fmt: skip
    problem = random_points(seed, **options)
    result = pyseg.deform_attention(*to(problem, dtype))
    assert result.dtype == dtype
    close(result, defined(*problem), BARS[dtype] * 10)
    if all(h * w > 0 for h, w in shapes):
        for box in (2, 4):
            fused = random_fused(seed, box, **options)
            close(pyseg.deform_attention_fused(*to(fused, dtype)), defined_fused(*fused), BARS[dtype] * 30)


@pytest.mark.parametrize("dtype", BARS)
@pytest.mark.parametrize("channels", [1, 5, 8, 16, 24, 32, 48, 64, 80, 130, 600])
def test_every_instruction_set_and_width(channels, dtype, isa):
    """Few queries read value where it is, many its copy."""
    for queries in (2, 60):
        problem = random_points(channels, channels=channels, queries=queries, shapes=[(12, 11), (5, 7)])
        close(pyseg.deform_attention(*to(problem, dtype)), defined(*problem), BARS[dtype])


def test_an_encoders_strips():
    """One query a pixel, of maps that are wide: they are taken in another order."""
    for shapes in ([(3, 200), (2, 60), (9, 7)], [(1, 513), (1, 1)], [(2, 7), (3, 150)]):
        queries = sum(h * w for h, w in shapes)
        problem = random_points(9, shapes=shapes, queries=queries, points=5, batch=2)
        close(pyseg.deform_attention(*problem), defined(*problem), 1e-13)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("queries", [3, 100])
def test_half_precision_is_better_than_torchs(dtype, queries, isa):
    problem = to(random_points(1, channels=32, queries=queries, shapes=[(20, 18), (9, 9)], low=0, high=1), dtype)
    exact = defined(*to(problem, torch.float64))
    mine, theirs = pyseg.deform_attention(*problem), by_torch(*problem)
    assert mine.dtype == theirs.dtype == dtype
    error, allowed = ((x.double() - exact).abs().max() for x in (mine, theirs))
    assert error <= 2 * allowed
    assert error <= exact.abs().max() * torch.finfo(dtype).eps / 2 * 1.01  # rounded once


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_beside_float32(dtype):
    problem = to(random_points(2, channels=32, queries=50), torch.float32)
    mixed = problem._replace(value=problem.value.to(dtype))
    exact = defined(*to(mixed, torch.float64))
    result = pyseg.deform_attention(*mixed)
    assert result.dtype == dtype
    close(result, exact, torch.finfo(dtype).eps)
    fused = to(random_fused(2, channels=32), torch.float32)
    mixed = fused._replace(value=fused.value.to(dtype), offsets=fused.offsets.to(dtype), logits=fused.logits.to(dtype))
    close(pyseg.deform_attention_fused(*mixed), defined_fused(*to(mixed, torch.float64)), torch.finfo(dtype).eps)


ODD = {
    "far": (1e30, 0.5), "very far": (3e38, -3e38), "infinite": (float("inf"), 0.5), "no number": (0.5, float("nan")),
    "minus infinity": (0.5, -float("inf")), "just outside": (-1.01 / 9 / 2 - 1, 0.5), "2^31 pixels": (2.0**31, 2.0**31),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("place", ODD)
def test_places_outside_give_nothing_and_get_no_gradient(place, dtype, isa):
    problem = to(random_points(3, queries=40), dtype)
    odd = problem.locations.clone()
    odd[:, 5:9, :, 0, 1] = torch.tensor(ODD[place], dtype=dtype)
    muted = problem.weights.clone()
    muted[:, 5:9, :, 0, 1] = 0
    leaves = [x.clone().requires_grad_() for x in (problem.value, odd, problem.weights)]
    result = pyseg.deform_attention(leaves[0], problem.shapes, leaves[1], leaves[2])
    expected = pyseg.deform_attention(problem.value, problem.shapes, problem.locations, muted)
    torch.testing.assert_close(result.detach(), expected, atol=0, rtol=0)
    of_value, of_places, of_weights = torch.autograd.grad(result.square().sum(), leaves)
    assert bool(of_value.isfinite().all())
    assert not of_places[:, 5:9, :, 0, 1].any()
    assert not of_weights[:, 5:9, :, 0, 1].any()
    assert of_places.any()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_pixels_that_are_not_touched_do_not_spread(value):
    """A corner outside is zero, not zero times some pixel."""
    problem = to(random_points(4, shapes=[(3, 3)], queries=200, low=-0.15, high=1.15), torch.float32)
    spoiled = problem.value.clone()
    spoiled[:, 0] = value
    result = pyseg.deform_attention(spoiled, *problem[1:])
    torch.testing.assert_close(result, by_torch(spoiled, *problem[1:]), atol=1e-5, rtol=1e-5, equal_nan=True)
    assert 0 < result.isfinite().float().mean() < 1


def test_levels_may_lie_anywhere():
    problem = random_points(5)
    sizes = [h * w for h, w in problem.shapes]
    starts = [0, sizes[0], sizes[0] + sizes[1]]
    options = {"level_start_index": torch.tensor(starts)}
    assert torch.equal(pyseg.deform_attention(*problem, **options), pyseg.deform_attention(*problem))
    reverse = torch.cat(problem.value.split(sizes, 1)[::-1], 1)
    starts = [sizes[2] + sizes[1], sizes[2], 0]
    got = pyseg.deform_attention(reverse, *problem[1:], level_start_index=starts)
    assert torch.equal(got, pyseg.deform_attention(*problem))
    shared = pyseg.deform_attention(problem.value, [(3, 3), (6, 9), (1, 1)], *problem[2:], level_start_index=[4, 0, 53])
    close(shared, defined(problem.value, [(3, 3), (6, 9), (1, 1)], *problem[2:], [4, 0, 53]), 1e-13)


def test_the_official_order_of_arguments():
    problem = to(random_points(6), torch.float32)
    shapes = torch.tensor(problem.shapes)
    starts = torch.cat([shapes.new_zeros(1), shapes.prod(1).cumsum(0)[:-1]])
    got = pyseg.ops.ms_deform_attn(problem.value, shapes, starts, problem.locations, problem.weights, 64)
    assert torch.equal(got, pyseg.deform_attention(*problem))
    assert torch.equal(got, pyseg.deform_attention(*problem, im2col_step=64))


def test_other_devices_formula():
    """What runs on CUDA, here on the CPU."""
    problem = random_points(7, low=-1, high=2, shapes=[(6, 9), (0, 4), (3, 5)])
    problem.locations[0, 0, 0, 0, 0, 0] = float("nan")
    problem.locations[0, 1, 0, 0, 0, 0] = float("inf")
    got = by_grid_sample(problem.value, [(0, 6, 9), (54, 0, 4), (54, 3, 5)], problem.locations, problem.weights)
    close(got, defined(*problem), 1e-14)
    close(got, pyseg.deform_attention(*problem), 1e-14)


# ---- NumPy


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("box", [None, 2, 4])
def test_numpy_gives_the_same_bits(box, dtype, isa, unchanged):
    torch_dtype = getattr(torch, dtype)
    problem = to(random_points(8) if box is None else random_fused(8, box), torch_dtype)
    function = pyseg.deform_attention if box is None else pyseg.deform_attention_fused
    arrays = [x.numpy() if isinstance(x, torch.Tensor) else x for x in problem]
    unchanged(*(x for x in arrays if isinstance(x, np.ndarray)))
    result = function(*arrays)
    assert isinstance(result, np.ndarray)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, function(*problem).numpy())
    flipped = [x[::-1] if isinstance(x, np.ndarray) else x for x in arrays]
    np.testing.assert_array_equal(function(*flipped), result[::-1])
    swapped = [x.astype(x.dtype.newbyteorder(">")) if isinstance(x, np.ndarray) else x for x in arrays]
    np.testing.assert_array_equal(function(*swapped), result)


# ---- golden


@pytest.mark.parametrize("name", [n for n in GOLDEN if n.startswith("core")])
def test_golden_function(name, isa):
    record = golden(name)
    inputs = {key: golden_input(rule) for key, rule in record["inputs"].items()}
    names = ("value", "sampling_locations", "attention_weights")
    leaves = [inputs[key].requires_grad_() for key in names]
    output = pyseg.deform_attention(leaves[0], record["config"]["spatial_shapes"], *leaves[1:])
    assert mismatch(output, record["outputs"]["output"]) <= record["tolerance"]
    gradients = torch.autograd.grad(output, leaves, inputs["grad_output"])
    for key, gradient in zip(names, gradients, strict=True):
        assert mismatch(gradient, record["outputs"][f"grad_{key}"]) <= record["tolerance"], key


@pytest.mark.parametrize("name", [n for n in GOLDEN if n.startswith("module")])
def test_golden_layer(name):
    record = golden(name)
    config = dict(record["config"])
    shapes = config.pop("spatial_shapes")
    layer = pyseg.nn.MSDeformAttn(**config)
    state = golden_weights(record)
    assert sum(p.numel() for p in layer.parameters()) == record["parameters"]
    assert {key: list(p.shape) for key, p in layer.state_dict().items()} == record["shapes"]
    layer.load_state_dict(state)
    inputs = {key: golden_input(rule) for key, rule in record["inputs"].items()}
    output = layer(
        inputs["query"],
        inputs["reference_points"],
        inputs["input_flatten"],
        torch.tensor(shapes),
        None,
        inputs["padding_mask"].bool() if "padding_mask" in inputs else None,
    )
    assert mismatch(output, record["outputs"]["output"]) <= record["tolerance"]


def test_all_golden_files_are_there():
    assert len(GOLDEN) == 5
