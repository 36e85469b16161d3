"""pyseg.depthwise_conv2d against its definition, and against torch in float64."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pyseg
from pyseg import _runtime, reference

DTYPES = {"float32": 2e-6, "float64": 1e-14, "float16": 1e-3, "bfloat16": 8e-3}
SETTINGS = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def problems(draw):
    """(x, weight, bias, geometry), x and weight in float64, of values that half precision has."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kernel = (draw(st.sampled_from([3, 3, 3, 1, 2, 4, 5, 7, 9])), draw(st.sampled_from([3, 3, 3, 1, 2, 4, 5, 7, 9])))
    stride = (draw(st.sampled_from([1, 1, 2, 3])), draw(st.sampled_from([1, 1, 2, 3])))
    dilation = (draw(st.sampled_from([1, 2, 3, 6, 12, 18])), draw(st.sampled_from([1, 2, 3, 6, 12, 18])))
    padding = [draw(st.integers(0, d * (k - 1) + 2)) for d, k in zip(dilation, kernel, strict=True) for _ in range(2)]
    shape = []
    for axis in range(2):
        least = max(1, dilation[axis] * (kernel[axis] - 1) + 1 - padding[2 * axis] - padding[2 * axis + 1])
        shape.append(draw(st.integers(least, least + 40)))
    n, multiplier = draw(st.sampled_from([1, 1, 2])), draw(st.sampled_from([1, 1, 1, 2, 3]))
    channels = draw(st.sampled_from([1, 2, 3, 8, 16, 17, 33]))
    x = rng.integers(-32, 33, (n, channels, *shape)) / 16
    weight = rng.integers(-32, 33, (channels * multiplier, 1, *kernel)) / 16
    bias = rng.integers(-32, 33, channels * multiplier) / 16 if draw(st.booleans()) else None
    return x, weight, bias, {"stride": stride, "padding": padding, "dilation": dilation}


LAYOUTS = {
    "contiguous": lambda t: t.contiguous(),
    "channels_last": lambda t: t.contiguous(memory_format=torch.channels_last),
    "every second": lambda t: t.repeat_interleave(2, 3)[..., ::2],
    "transposed": lambda t: t.transpose(2, 3).contiguous().transpose(2, 3),
}


def close(actual, expected, tolerance):
    """Within ``tolerance`` of the largest value, but at least of 1."""
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(np.asarray(actual, np.float64), expected, rtol=0, atol=tolerance * scale)


@given(problems(), st.sampled_from(sorted(DTYPES)), st.sampled_from(sorted(LAYOUTS)), st.booleans())
@SETTINGS
def test_op_and_gradients_are_the_definition(isa, problem, dtype, layout, relu):
    ops = _runtime.torch_ops()
    x, weight, bias, geometry = problem
    numbers = getattr(torch, dtype)
    tx, tw = LAYOUTS[layout](torch.tensor(x).to(numbers)), torch.tensor(weight).to(numbers)
    tb = None if bias is None else torch.tensor(bias).to(numbers)
    args = (list(geometry["stride"]), geometry["padding"], list(geometry["dilation"]))
    y = ops.depthwise_conv2d(tx, tw, tb, *args, relu)
    close(y.double().numpy(), reference.depthwise_conv2d(x, weight, bias, **geometry, relu=relu), DTYPES[dtype])
    grad = np.random.default_rng(0).integers(-16, 17, y.shape) / 16
    tg = torch.tensor(grad).to(numbers)
    of_x, of_weight, of_bias = reference.depthwise_conv2d_gradients(grad, x, weight, **geometry)
    close(ops.depthwise_conv2d_grad_input(tg, tx, tw, *args).double().numpy(), of_x, DTYPES[dtype])
    close(ops.depthwise_conv2d_grad_weight(tg, tx, tw, *args).double().numpy(), of_weight, DTYPES[dtype])
    close(ops.depthwise_conv2d_grad_bias(tg).double().numpy(), of_bias, DTYPES[dtype])


@given(problems())
@SETTINGS
def test_the_definition_is_torchs(problem):
    x, weight, bias, geometry = problem
    top, bottom, left, right = geometry["padding"]
    tx, tw = torch.tensor(x, requires_grad=True), torch.tensor(weight, requires_grad=True)
    padded = F.pad(tx, (left, right, top, bottom))
    tb = torch.tensor(np.zeros(len(weight)) if bias is None else bias, requires_grad=True)
    y = F.conv2d(padded, tw, tb, geometry["stride"], 0, geometry["dilation"], x.shape[1])
    close(reference.depthwise_conv2d(x, weight, bias, **geometry), y.detach().numpy(), 1e-14)
    grad = torch.rand_like(y)
    theirs = torch.autograd.grad(y, (tx, tw, tb), grad)
    for mine, its in zip(
        reference.depthwise_conv2d_gradients(grad.numpy(), x, weight, **geometry), theirs, strict=True
    ):
        close(mine, its.numpy(), 1e-13)


@given(problems(), st.sampled_from(["float16", "float32", "float64"]), st.booleans(), st.booleans())
@SETTINGS
def test_arrays_and_tensors_are_the_same_bit_for_bit(problem, dtype, last, relu):
    x, weight, bias, geometry = problem
    top, _, left, _ = geometry["padding"]
    least = [geometry["dilation"][i] * (weight.shape[2 + i] - 1) + 1 - 2 * (top, left)[i] for i in range(2)]
    if x.shape[2] < least[0] or x.shape[3] < least[1]:
        return
    x, weight = x.astype(dtype), weight.astype(dtype)
    bias = None if bias is None else bias.astype(dtype)
    if last:
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    options = {"stride": geometry["stride"], "dilation": geometry["dilation"], "padding": (top, left)}
    activation = "relu" if relu else None
    y = pyseg.depthwise_conv2d(x, weight, bias, **options, activation=activation)
    assert y.dtype == x.dtype
    args = (list(options["stride"]), [top, left], list(options["dilation"]))
    tensors = [None if a is None else torch.from_numpy(a) for a in (x, weight, bias)]
    other = _runtime.torch_ops().depthwise_conv2d(*tensors, *args, relu)
    np.testing.assert_array_equal(y, other.numpy())
    assert y.shape == tuple(other.shape)
    if y.size and min(y.shape[1:]) > 1:
        assert tuple(s // y.itemsize for s in y.strides) == other.stride()


SHAPES = {
    "ASPP, rate 12": ((1, 40, 33, 33), 3, 12),
    "ASPP, rate 36": ((1, 24, 65, 65), 3, 36),
    "ASPP, wide": ((2, 20, 64, 128), 3, 18),
    "ConvNeXt": ((1, 24, 56, 56), 7, 1),
    "5 x 5": ((2, 17, 30, 31), 5, 2),
    "a plane larger than its cache": ((1, 2, 300, 420), 3, 24),
    "a plane much larger than its cache": ((1, 1, 1100, 900), 3, 1),
    "rows wider than its cache": ((1, 1, 9, 70000), 3, 2),
    "large kernels in a large plane": ((1, 2, 500, 300), 7, 3),
}


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_of_networks(shape, layout, isa):
    size, k, rate = SHAPES[shape]
    torch.manual_seed(0)
    x, weight, bias = torch.randn(size), torch.randn(size[1], 1, k, k), torch.randn(size[1])
    exact = [t.double().requires_grad_() for t in (x, weight, bias)]
    y = F.conv2d(exact[0], exact[1], exact[2], 1, rate * (k // 2), rate, size[1])
    x = LAYOUTS[layout](x)
    mine = [t.clone().requires_grad_() for t in (x, weight, bias)]
    out = _runtime.torch_ops().depthwise_conv2d(*mine, [1, 1], [rate * (k // 2)] * 2, [rate, rate], False)
    close(out.detach().numpy(), y.detach().numpy(), 3e-6)
    grad = torch.randn(size)
    for a, b in zip(torch.autograd.grad(out, mine, grad), torch.autograd.grad(y, exact, grad.double()), strict=True):
        close(a.numpy(), b.numpy(), 5e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_error_is_at_most_twice_torchs(layout, dtype):
    torch.manual_seed(1)
    numbers = getattr(torch, dtype)
    x, weight = LAYOUTS[layout](torch.randn(2, 64, 65, 65).to(numbers)), torch.randn(64, 1, 3, 3).to(numbers)
    exact = [x.double().requires_grad_(), weight.double().requires_grad_()]
    y = F.conv2d(exact[0], exact[1], None, 1, 12, 12, 64)
    grad = LAYOUTS[layout](torch.randn(y.shape).to(numbers))
    expected = [y.detach(), *torch.autograd.grad(y, exact, grad.double())]

    def errors(call):
        inputs = [t.clone().requires_grad_() for t in (x, weight)]
        out = call(*inputs)
        results = [out, *torch.autograd.grad(out, inputs, grad)]
        return [float((a.detach().double() - b).pow(2).mean().sqrt()) for a, b in zip(results, expected, strict=True)]

    mine = errors(lambda a, b: _runtime.torch_ops().depthwise_conv2d(a, b, None, [1, 1], [12, 12], [12, 12], False))
    # Of planes: torch's gradient in bfloat16 and channels_last reads memory that nobody wrote, and may be NaN.
    theirs = errors(lambda a, b: F.conv2d(a.contiguous(), b, None, 1, 12, 12, 64))
    for ours, its in zip(mine, theirs, strict=True):
        assert ours <= 2 * its + 1e-12


@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")  # torch's, of its own copy
@pytest.mark.parametrize("padding", ["same", "valid", 3, (2, 5)])
@pytest.mark.parametrize("kernel", [(3, 3), (2, 4), (1, 6), (7, 7)])
@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_padding_is_as_torch_has_it(kind, kernel, padding):
    torch.manual_seed(2)
    x, weight = torch.randn(2, 19, 20, 23, dtype=torch.float64), torch.randn(19, 1, *kernel, dtype=torch.float64)
    expected = F.conv2d(x, weight, None, 1, padding, 3, 19).numpy()
    if kind == "numpy":
        mine = pyseg.depthwise_conv2d(x.numpy(), weight.numpy(), dilation=3, padding=padding)
    else:
        mine = pyseg.depthwise_conv2d(x, weight, dilation=3, padding=padding).numpy()
    assert mine.shape == expected.shape
    close(mine, expected, 1e-14)
