"""atrous_conv2d against its definition and against torch: every algorithm, instruction set, dtype and geometry."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import pyseg
from pyseg import reference

OURS = ("direct", "winograd", "fast")
# Of the largest output. Torch's own is 4e-7 to 1e-6 here; F(4,3) may lose a digit.
TOLERANCE = {"direct": 1e-6, "winograd": 1e-6, "fast": 5e-5, "auto": 1e-6}

# height, width, rate, padding: every kind of piece, at both borders and without
GEOMETRIES = [
    (21, 30, 1, "same"),
    (21, 30, 2, "same"),
    (13, 17, 4, "same"),
    (12, 12, 6, "same"),  # phases of two: pairs
    (15, 16, 6, "same"),  # of two and three: pairs and triples
    (9, 9, 12, "same"),  # one pixel a phase: the middle tap alone
    (10, 33, (24, 3), "same"),
    (16, 16, 3, 0),
    (16, 17, 3, (1, 5)),
    (7, 9, 2, 9),  # outputs that see padding only
    (1, 1, 1, "same"),
    (1, 40, 2, "same"),
]


def problem(shape, outputs, kernel=(3, 3), groups=1, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape).astype(np.float32)
    weight = rng.standard_normal((outputs, shape[1] // groups, *kernel)).astype(np.float32)
    return x, weight, rng.standard_normal(outputs).astype(np.float32)


def pair(value):
    return (value, value) if isinstance(value, int) else value


def expected(x, weight, bias, rate, padding, kernel=(3, 3), **options):
    rate = pair(rate)
    if padding == "same":
        padding = tuple(r * (k // 2) for r, k in zip(rate, kernel, strict=True))
    return reference.atrous_conv2d(x, weight, bias, dilation=rate, padding=pair(padding), **options)


def error(y, want):
    return float(np.abs(np.asarray(y, np.float64) - want).max() / np.abs(want).max())


@pytest.mark.parametrize("algorithm", OURS)
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_against_the_definition(geometry, algorithm, isa):
    height, width, rate, padding = geometry
    x, weight, bias = problem((2, 19, height, width), 37)
    want = expected(x, weight, bias, rate, padding)
    options = {"dilation": rate, "padding": padding, "algorithm": algorithm}
    y = pyseg.atrous_conv2d(x, weight, bias, **options)
    assert error(y, want) < TOLERANCE[algorithm]
    tensors = [torch.from_numpy(a) for a in (x, weight, bias)]
    np.testing.assert_array_equal(y, pyseg.atrous_conv2d(*tensors, **options).numpy())
    last = pyseg.atrous_conv2d(tensors[0].contiguous(memory_format=torch.channels_last), *tensors[1:], **options)
    assert last.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(y, last.numpy())


@pytest.mark.parametrize("channels", [1, 3, 16, 64, 65, 130])
@pytest.mark.parametrize("outputs", [1, 5, 16, 63, 64, 70, 129])
def test_every_width_of_panels_and_strips(channels, outputs, isa):
    x, weight, bias = problem((1, channels, 9, 11), outputs)
    want = expected(x, weight, bias, 2, "same")
    for algorithm in OURS:
        y = pyseg.atrous_conv2d(x, weight, bias, dilation=2, algorithm=algorithm)
        assert error(y, want) < TOLERANCE[algorithm]


@pytest.mark.parametrize("algorithm", OURS)
def test_bits_depend_on_threads_and_wide_instruction_sets_no_more_than_not_at_all(algorithm, set_isa):
    x, weight, bias = problem((2, 600, 14, 15), 70)
    tensors = [torch.from_numpy(a) for a in (x, weight, bias)]
    found = []
    for name in ("avx2", "avx512"):
        set_isa(name)
        for threads in (1, 2, 3):
            pyseg.set_num_threads(threads)
            torch.set_num_threads(threads)
            found.append(pyseg.atrous_conv2d(x, weight, bias, dilation=3, algorithm=algorithm))
            found.append(pyseg.atrous_conv2d(*tensors, dilation=3, algorithm=algorithm).numpy())
    for y in found[1:]:
        np.testing.assert_array_equal(found[0], y)


@pytest.mark.parametrize("kernel", [(1, 1), (3, 1), (2, 2), (5, 5), (7, 3)])
@pytest.mark.parametrize("stride", [1, 2, (3, 1)])
def test_direct_takes_any_kernel_and_stride(kernel, stride, isa):
    x, weight, bias = problem((2, 20, 17, 19), 33, kernel)
    want = expected(x, weight, bias, 2, 3, kernel, stride=pair(stride))
    y = pyseg.atrous_conv2d(x, weight, bias, dilation=2, padding=3, stride=stride, algorithm="direct")
    assert error(y, want) < 1e-6


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("size", [(9, 15), (33, 33), (16, 16), (1, 7)])
def test_points(size, last, isa):
    x, weight, bias = problem((2, 700, *size), 130, (1, 1))
    want = expected(x, weight, bias, 1, 0, (1, 1))
    assert error(pyseg.atrous_conv2d(x, weight, bias, dilation=1), want) < 2e-6
    tensors = [torch.from_numpy(a) for a in (x, weight, bias)]
    if last:
        tensors[0] = tensors[0].contiguous(memory_format=torch.channels_last)
    assert error(pyseg.atrous_conv2d(*tensors, dilation=1), want) < 2e-6
    relu = pyseg.atrous_conv2d(*tensors, dilation=1, activation="relu")
    assert error(relu, np.maximum(want, 0)) < 2e-6


@settings(max_examples=120)
@given(data=st.data())
def test_anything_that_conv2d_takes(data):
    kernel = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    rate = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    stride = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    padding = data.draw(st.tuples(st.integers(0, 6), st.integers(0, 6)))
    groups = data.draw(st.integers(1, 3))
    shape = data.draw(st.tuples(st.integers(0, 2), st.integers(1, 9), st.integers(1, 14), st.integers(1, 14)))
    outputs, bias, relu = data.draw(st.tuples(st.integers(1, 20), st.booleans(), st.booleans()))
    shape = (shape[0], shape[1] * groups, *shape[2:])
    x, weight, shift = problem(shape, outputs * groups, kernel, groups, seed=data.draw(st.integers(0, 99)))
    three = kernel == (3, 3) and stride == (1, 1)
    algorithm = data.draw(st.sampled_from(("auto", "direct", *(("winograd", "fast") if three else ()))))
    options = {"dilation": rate, "stride": stride, "padding": padding, "groups": groups, "algorithm": algorithm}
    fits = all(shape[2 + i] + 2 * padding[i] > rate[i] * (kernel[i] - 1) for i in range(2))
    arrays = [x, weight, shift if bias else None]
    tensors = [None if a is None else torch.from_numpy(a) for a in arrays]
    if not fits:
        for arguments in (arrays, tensors):
            with pytest.raises(ValueError, match="reach"):
                pyseg.atrous_conv2d(*arguments, **options)
        return
    want = F.conv2d(
        *[None if t is None else t.double() for t in tensors],
        stride=stride, padding=padding, dilation=rate, groups=groups,
    ).numpy()  # fmt: skip
    if relu:
        want = np.maximum(want, 0)
    for arguments in (arrays, tensors):
        y = np.asarray(pyseg.atrous_conv2d(*arguments, **options, activation="relu" if relu else None))
        assert y.shape == want.shape
        if y.size:
            scale = max(float(np.abs(want).max()), 1e-3)
            assert np.abs(y - want).max() / scale < (1e-4 if algorithm == "fast" else 3e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
@pytest.mark.parametrize("groups", [1, 4, 12])
def test_numpy_dtypes_and_groups(dtype, groups, unchanged):
    x, weight, bias = (a.astype(dtype) for a in problem((2, 12, 11, 13), 24, groups=groups))
    unchanged(x, weight, bias)
    want = expected(x, weight, bias, 2, "same", groups=groups)
    y = pyseg.atrous_conv2d(x, weight, bias, dilation=2, groups=groups)
    assert y.dtype == dtype
    assert error(y, want) < (1e-3 if dtype == np.float16 else 1e-14)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("algorithm", OURS)
def test_half_precision_is_rounded_once(dtype, algorithm):
    x, weight, bias = (torch.from_numpy(a).to(dtype) for a in problem((1, 64, 20, 20), 48))
    want = F.conv2d(x.double(), weight.double(), bias.double(), padding=2, dilation=2)
    torchs = F.conv2d(x, weight, bias, padding=2, dilation=2)
    ours = pyseg.atrous_conv2d(x, weight, bias, dilation=2, algorithm=algorithm)
    assert ours.dtype == dtype
    assert error(ours.double(), want.numpy()) <= 2 * error(torchs.double(), want.numpy())


@pytest.mark.filterwarnings("ignore:Using padding")
def test_same_padding_of_even_kernels_is_torchs():
    x, weight, bias = (torch.from_numpy(a) for a in problem((1, 40, 12, 13), 40, (4, 2)))
    want = F.conv2d(x, weight, bias, padding="same", dilation=3)
    direct = pyseg.atrous_conv2d(x, weight, bias, dilation=3, algorithm="direct")
    torch.testing.assert_close(direct, want, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(pyseg.atrous_conv2d(x[0], weight, bias, dilation=3), want[0])
    np.testing.assert_allclose(
        pyseg.atrous_conv2d(x.numpy(), weight.numpy(), bias.numpy(), dilation=3), want.numpy(), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("algorithm", ["direct", "winograd"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_a_number_reaches_what_it_touches(algorithm, value):
    x, weight, bias = problem((1, 33, 12, 12), 33)
    x[0, 3, 6, 6] = value
    y = pyseg.atrous_conv2d(x, weight, bias, dilation=2, algorithm=algorithm, activation="relu")
    touched = np.zeros((12, 12), bool)
    touched[4:9:2, 4:9:2] = True
    if np.isnan(value):
        assert np.isnan(y[0][:, touched]).all()
    assert np.isfinite(y[0][:, 1::2, 1::2]).all()
    want = expected(*problem((1, 33, 12, 12), 33), 2, "same")
    np.testing.assert_allclose(y[0][:, 1::2, 1::2], np.maximum(want, 0)[0][:, 1::2, 1::2], rtol=1e-4, atol=1e-4)


WRONG = {
    "x must be": ({"x": np.zeros((3, 3), np.float32)}, ValueError),
    "weight must have": ({"weight": np.zeros((0, 3, 3, 3), np.float32)}, ValueError),
    "must have 3 x 1 channels": ({"x": np.zeros((1, 4, 5, 5), np.float32)}, ValueError),
    "bias must be": ({"bias": np.zeros(3, np.float32)}, ValueError),
    "one dtype": ({"weight": np.zeros((8, 3, 3, 3))}, TypeError),
    "dilation must be 1": ({"dilation": 0}, ValueError),
    "stride must be 1": ({"stride": (1, 0)}, ValueError),
    "padding must be": ({"padding": "full"}, ValueError),
    "needs stride 1": ({"stride": 2}, ValueError),
    "two, \\(y, x\\)": ({"dilation": (1, 2, 3)}, ValueError),
    "algorithm must be": ({"algorithm": "fft"}, ValueError),
    "activation must be": ({"activation": "gelu"}, ValueError),
    "groups must be": ({"groups": 0}, ValueError),
    "at least the kernel's reach": ({"padding": 0, "dilation": 5}, ValueError),
    "needs a 3 x 3 kernel": ({"weight": np.zeros((8, 3, 5, 5), np.float32), "algorithm": "winograd"}, ValueError),
    "at least one channel": ({"x": np.zeros((1, 3, 0, 5), np.float32)}, ValueError),
}  # fmt: skip


@pytest.mark.parametrize("rule", WRONG)
@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_an_error_says_the_rule_and_the_value(rule, kind):
    changes, exception = WRONG[rule]
    arguments = {
        "x": np.zeros((1, 3, 8, 8), np.float32), "weight": np.zeros((8, 3, 3, 3), np.float32), "bias": None,
        "dilation": 2,
    } | changes  # fmt: skip
    if kind == "torch":
        arguments = {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in arguments.items()}
        if exception is TypeError:
            arguments["algorithm"] = "direct"
    with pytest.raises(exception, match=rule):
        pyseg.atrous_conv2d(**arguments)
