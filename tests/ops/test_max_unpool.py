"""pyseg.max_pool*, max_unpool*: the definition's values and torch's, of any arguments, on any instruction set."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import pyseg
from pyseg import reference

KINDS = ("uint8", "int32", "int64")
POOL = {1: pyseg.max_pool1d, 2: pyseg.max_pool2d, 3: pyseg.max_pool3d}
UNPOOL = {1: pyseg.max_unpool1d, 2: pyseg.max_unpool2d, 3: pyseg.max_unpool3d}
TORCH_POOL = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


def values(shape, dtype=torch.float32, seed=0, nan=0.03):
    """Few different values, so that there are ties, of both zeros; some infinite, some NaN."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(-2, 3, shape, generator=generator).double() * 0.5
    which = torch.rand(shape, generator=generator)
    x = torch.where(which < 0.05, -0.0, x)
    x = torch.where(which > 1 - nan, torch.nan, x)
    x = torch.where((which > 0.5) & (which < 0.5 + nan), -torch.inf, x)
    return x.to(dtype)


def same(mine, theirs):
    """Equal, and NaN where the other is."""
    np.testing.assert_array_equal(np.asarray(mine.double()), np.asarray(theirs.double()))


def unpooled(y, places, size):
    """torch's loop on one thread: the last window wins."""
    flat, at = y.flatten(2), places.flatten(2).long()
    x = torch.zeros(*flat.shape[:2], int(np.prod(size)), dtype=y.dtype)
    for i in range(flat.shape[2]):
        x.scatter_(2, at[:, :, i : i + 1], flat[:, :, i : i + 1])
    return x.view(*flat.shape[:2], *size)


def summed(y, places, size):
    flat, at = y.double().flatten(2), places.flatten(2).long()
    x = torch.zeros(*flat.shape[:2], int(np.prod(size)), dtype=torch.float64)
    return x.scatter_add_(2, at, flat).view(*flat.shape[:2], *size)


def places_of(x, w, ceil_mode):
    """torch's maxima and places, by float64, which every value here is exact in."""
    dims = x.dim() - 2
    return TORCH_POOL[dims](x.double(), *w, ceil_mode, True)


def check(x, w, ceil_mode=False):
    """Pooling, unpooling and both gradients, with each kind of index."""
    dims, size = x.dim() - 2, x.shape[2:]
    expected, places = places_of(x, w, ceil_mode)
    arriving = values(expected.shape, x.dtype, seed=1, nan=0)
    arriving = torch.where(arriving.isinf(), 1, arriving)
    leaving = values(x.shape, x.dtype, seed=2)
    if not x.is_contiguous():
        arriving = arriving.contiguous(memory_format=CHANNELS_LAST[dims])
    for kind in KINDS:
        leaf = x.clone().requires_grad_()
        y, indices = POOL[dims](leaf, *w, ceil_mode, kind)
        same(y.detach(), expected)
        assert y.dtype == x.dtype
        codes = indices.codes if kind == "uint8" else indices
        assert str(codes.dtype) == f"torch.{kind}"
        if kind != "uint8":
            assert torch.equal(indices.long(), places)
        y.backward(arriving)
        sums = summed(arriving, places, size)
        bar = 0 if x.dtype == torch.float64 else 1e-6 if x.dtype == torch.float32 else 2.0**-8
        assert ((leaf.grad.double() - sums).abs() <= bar * sums.abs().clamp(min=1)).all()
        source = arriving.clone().requires_grad_()
        x_again = UNPOOL[dims](source, indices, output_size=size)
        assert torch.equal(x_again.detach(), unpooled(arriving, places, size))
        x_again.backward(leaving)
        same(source.grad, leaving.flatten(2).gather(2, places.flatten(2)).view(places.shape))


WINDOWS = {  # kernel, stride, padding, dilation
    "2, 2": (2, 2, 0, 1),
    "2, 2, padded": (2, 2, 1, 1),
    "3, 2, padded": (3, 2, 1, 1),
    "3, 2": (3, 2, 0, 1),
    "3, 1, padded": (3, 1, 1, 1),
    "3, 3": (3, 3, 0, 1),
    "2, 3: gaps": (2, 3, 0, 1),
    "5, 3": (5, 3, 2, 1),
    "2, 2, dilated": (2, 2, 0, 3),
    "3, 1, dilated": (3, 1, 1, 2),
    "1, 1": (1, 1, 0, 1),
    "1, 2": (1, 2, 0, 1),
    "7, 4": (7, 4, 3, 1),
}
WIDTHS = [7, 30, 31, 32, 33, 34, 63, 64, 65, 130]


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("layout", ["NCHW", "channels_last"])
def test_every_window(window, layout, ceil_mode):
    for width, channels, dtype in itertools.product(WIDTHS[1:5], (3, 17), (torch.float32, torch.bfloat16)):
        x = values((2, channels, 9, width), dtype, seed=width)
        if layout == "channels_last":
            x = x.contiguous(memory_format=torch.channels_last)
        check(x, WINDOWS[window], ceil_mode)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("window", ["2, 2", "3, 2, padded", "3, 3", "2, 2, dilated"])
def test_every_instruction_set(window, dtype, isa):
    for width in WIDTHS:
        check(values((2, 3, 11, width), dtype, seed=width), WINDOWS[window])
        check(
            values((1, width, 8, 9), dtype, seed=width).contiguous(memory_format=torch.channels_last), WINDOWS[window]
        )


@pytest.mark.parametrize("window", ["2, 2", "3, 2, padded", "5, 3", "2, 3: gaps"])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_one_and_three_axes(window, ceil_mode):
    for n in (9, 16, 37, 70):
        check(values((2, 3, n), seed=n), WINDOWS[window], ceil_mode)
    for shape in ((2, 3, 6, 7, 9), (1, 2, 5, 8, 40)):
        check(values(shape), WINDOWS[window], ceil_mode)
        check(values(shape).contiguous(memory_format=torch.channels_last_3d), WINDOWS[window], ceil_mode)


@pytest.mark.parametrize("kind", ["uint8", "int64"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64], ids=str)
def test_equals_torchs_own_unpooling(dtype, kind):
    torch.set_num_threads(1)  # on several, torch's duplicates are a race
    for width in (12, 33):
        x = values((2, 3, 10, width), nan=0)
        y, indices = pyseg.max_pool2d(x, 3, 2, indices=kind)
        theirs = F.max_pool2d(x, 3, 2, return_indices=True)[1]
        expected = F.max_unpool2d(y, theirs, 3, 2, output_size=x.shape[2:])
        mine = pyseg.max_unpool2d(y.to(dtype), indices, 3, 2, output_size=x.shape[2:])
        assert torch.equal(mine.float(), expected)


def test_large_results_go_past_the_cache_and_are_the_same():
    for shape in ((2, 16, 200, 402), (2, 16, 201, 403), (3, 5, 300, 720)):  # more than 8 MB
        x = torch.rand(*shape) + 0.1
        for form in (torch.contiguous_format, torch.channels_last):
            y, indices = pyseg.max_pool2d(x.contiguous(memory_format=form), 2)
            assert torch.equal(y, F.max_pool2d(x, 2))
            back = pyseg.max_unpool2d(y, indices)
            assert torch.equal(F.max_pool2d(back, 2), y)
            assert int((back != 0).sum()) == y.numel()
            assert torch.equal(back[back != 0], x[back != 0])


def test_a_kernel_of_many_taps():
    x = values((1, 2, 20, 90))
    expected, places = F.max_pool2d(x, (4, 64), (3, 5), return_indices=True)
    y, indices = pyseg.max_pool2d(x, (4, 64), (3, 5))
    same(y, expected)
    assert torch.equal(pyseg.max_unpool2d(y, indices).nan_to_num(5), unpooled(y, places, (20, 90)).nan_to_num(5))
    for kind in ("int32", "int64"):  # more than 256 taps
        expected, places = F.max_pool2d(x, (5, 64), (3, 5), return_indices=True)
        y, indices = pyseg.max_pool2d(x, (5, 64), (3, 5), indices=kind)
        same(y, expected)
        assert torch.equal(indices.long(), places)


# ---- the definition


def numpy_check(x, w, ceil_mode):
    dims = x.ndim - 2
    size = x.shape[2:]
    kernel, stride, padding, dilation = w
    for kind in KINDS:
        expected, places = reference.max_pool(x, kernel, stride, padding, dilation, ceil_mode, kind)
        y, indices = POOL[dims](x, kernel, stride, padding, dilation, ceil_mode, kind)
        np.testing.assert_array_equal(y, expected)
        assert y.dtype == x.dtype
        codes = indices.codes if kind == "uint8" else indices
        np.testing.assert_array_equal(codes, places)
        assert codes.dtype == places.dtype
        back = reference.max_unpool(expected, places, size, kernel, stride, padding, dilation)
        np.testing.assert_array_equal(UNPOOL[dims](y, indices, output_size=size), back)
        out = np.full(x.shape, 7, x.dtype)
        assert UNPOOL[dims](y, indices, output_size=size, out=out) is out
        np.testing.assert_array_equal(out, back)


def a_problem(draw, most):
    """(shape, window, ceil_mode) of any kind that max_pool takes."""
    dims = draw(st.integers(1, 3))
    kernel = tuple(draw(st.integers(1, 4)) for _ in range(dims))
    dilation = tuple(draw(st.sampled_from([1, 1, 2])) for _ in range(dims))
    stride = tuple(draw(st.integers(1, 4)) for _ in range(dims))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    padding = tuple(draw(st.integers(0, k // 2)) if d == 1 else 0 for k, d in zip(kernel, dilation, strict=True))
    size = [draw(st.integers(max(r - 2 * p, 1), most[dims])) for r, p in zip(reach, padding, strict=True)]
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 3)), *size)
    return shape, (kernel, stride, padding, dilation), draw(st.booleans())


@st.composite
def small_problems(draw):
    return a_problem(draw, {1: 20, 2: 12, 3: 9}), draw(st.integers(0, 2**31))


@st.composite
def problems(draw):
    return a_problem(draw, {1: 200, 2: 60, 3: 20}), draw(st.integers(0, 2**31)), draw(st.booleans())


@settings(max_examples=60)
@given(small_problems(), st.sampled_from([torch.float16, torch.float32, torch.float64]))
def test_equals_the_reference_on_anything(problem, dtype):
    (shape, w, ceil_mode), seed = problem
    numpy_check(values(shape, dtype, seed).numpy(), w, ceil_mode)


@settings(max_examples=100)
@given(problems(), st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]))
def test_equals_torch_on_anything(problem, dtype):
    (shape, w, ceil_mode), seed, last = problem
    x = values(shape, dtype, seed)
    if last and len(shape) > 3:
        x = x.contiguous(memory_format=CHANNELS_LAST[len(shape) - 2])
    check(x, w, ceil_mode)


# ---- promises


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_change_nothing(threads):
    torch.set_num_threads(threads)
    pyseg.set_num_threads(threads)
    x = values((3, 5, 67, 131))
    for form, w in itertools.product((torch.contiguous_format, torch.channels_last), WINDOWS.values()):
        check(x.contiguous(memory_format=form), w)
        numpy_check_small(x, w)


def numpy_check_small(x, w):
    y, indices = pyseg.max_pool2d(x, *w)
    mine, at = pyseg.max_pool2d(x.numpy(), *w)
    np.testing.assert_array_equal(mine, y.numpy())
    np.testing.assert_array_equal(at.codes, indices.codes.numpy())
    np.testing.assert_array_equal(pyseg.max_unpool2d(mine, at), pyseg.max_unpool2d(y, indices).numpy())


def test_sums_of_half_precision_are_closer_than_torchs():
    generator = torch.Generator().manual_seed(0)
    for dtype in (torch.float16, torch.bfloat16):
        x = torch.rand(2, 4, 40, 41, generator=generator).to(dtype)
        arriving = torch.rand(2, 4, 38, 39, generator=generator).to(dtype)
        _, places = F.max_pool2d(x.double(), 3, 1, return_indices=True)
        exact = summed(arriving, places, x.shape[2:])
        ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
        pyseg.max_pool2d(ours, 3, 1)[0].backward(arriving)
        F.max_pool2d(theirs, 3, 1).backward(arriving)
        error = (ours.grad.double() - exact).abs().max()
        assert error <= (theirs.grad.double() - exact).abs().max()
        assert (ours.grad.double() - exact).abs().max() <= exact.max() * torch.finfo(dtype).eps


def test_inputs_are_left_as_they_are():
    x, y = values((2, 3, 8, 9)), values((2, 3, 4, 4))
    codes = pyseg.max_pool2d(x, 2)[1].codes
    before = [t.clone() for t in (x, y, codes)]
    pyseg.max_pool2d(x, 3, 1)
    pyseg.max_unpool2d(y, codes, 2, scale=torch.ones(3), activation="relu")
    for now, then in zip((x, y), before, strict=False):
        same(now, then)
    assert torch.equal(codes, before[2])
