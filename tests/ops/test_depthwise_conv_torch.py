"""depthwise_conv2d as a torch op: gradients of gradients, opcheck, compilation, export, autocast, layouts, dispatch."""

import warnings

import pytest
import torch
import torch.nn.functional as F

import pyseg
from pyseg import _runtime
from pyseg.ops.depthwise_conv import torch_is_faster

LAST = torch.channels_last
GEOMETRIES = {
    "3x3, rate 2": ((3, 3), [1, 1], [2, 2], [2, 2]),
    "3x3, stride 2": ((3, 3), [2, 2], [1, 1], [1, 1]),
    "stride 2, rate 3": ((3, 2), [2, 1], [3, 1], [3, 2]),
    "5x1, four paddings": ((5, 1), [1, 2], [3, 1, 0, 2], [1, 1]),
    "stride 3 over kernel 2": ((2, 2), [3, 3], [0, 0], [1, 1]),
}


def inputs(geometry, channels=3, multiplier=1, dtype=torch.float64, last=False, bias=True, grad=True):
    kernel, stride, padding, dilation = GEOMETRIES[geometry]
    torch.manual_seed(0)
    x = torch.randn(2, channels, 9, 8, dtype=dtype)
    tensors = [
        x.contiguous(memory_format=LAST) if last else x,
        torch.randn(channels * multiplier, 1, *kernel, dtype=dtype),
        torch.randn(channels * multiplier, dtype=dtype) if bias else None,
    ]
    return [t if t is None else t.requires_grad_(grad) for t in tensors], (stride, padding, dilation)


@pytest.fixture
def op():
    return _runtime.torch_ops().depthwise_conv2d.default


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize(("channels", "multiplier", "last"), [(2, 1, False), (2, 2, False), (8, 1, True)])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_gradients_of_gradients(op, geometry, channels, multiplier, last, relu):
    tensors, rest = inputs(geometry, channels, multiplier, last=last)
    call = lambda *t: op(*t, *rest, relu)  # noqa: E731
    assert torch.autograd.gradcheck(call, tensors, fast_mode=True)
    assert torch.autograd.gradgradcheck(call, tensors, fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_opcheck(geometry, last, dtype):
    ops = _runtime.torch_ops()
    tensors, rest = inputs(geometry, 8, dtype=dtype, last=last)
    tolerance = {"rtol": 2e-2, "atol": 2e-2}
    torch.library.opcheck(ops.depthwise_conv2d.default, (*tensors, *rest, True), **tolerance)
    x, weight, _ = tensors
    grad = ops.depthwise_conv2d(*tensors, *rest, False).detach().requires_grad_()
    torch.library.opcheck(ops.depthwise_conv2d_grad_input.default, (grad, x, weight, *rest), **tolerance)
    torch.library.opcheck(ops.depthwise_conv2d_grad_weight.default, (grad, x, weight, *rest), **tolerance)
    torch.library.opcheck(ops.depthwise_conv2d_grad_bias.default, (grad,), **tolerance)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_whole_with_gradients(dynamic, last):
    weight = torch.randn(20, 1, 3, 3, requires_grad=True)
    bias = torch.randn(20, requires_grad=True)

    def layer(x):
        return pyseg.depthwise_conv2d(x, weight, bias, dilation=6, activation="relu") * 2

    compiled = torch.compile(layer, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for size in ((1, 20, 24, 17), (2, 20, 33, 30)):
        x = torch.randn(size)
        x = x.contiguous(memory_format=LAST) if last else x
        mine, again = x.clone().requires_grad_(), x.clone().requires_grad_()
        y, expected = compiled(mine), layer(again)
        assert torch.equal(y, expected)
        assert y.stride() == expected.stride()
        grad = torch.randn_like(expected)
        for a, b in zip(
            torch.autograd.grad(y, (mine, weight, bias), grad),
            torch.autograd.grad(expected, (again, weight, bias), grad),
            strict=True,
        ):
            assert torch.equal(a, b)


@pytest.mark.parametrize("rate", [1, 12])
def test_inductor_compiles_it(rate):
    weight = torch.randn(16, 1, 3, 3)
    layer = lambda x: pyseg.depthwise_conv2d(x, weight, dilation=rate)  # noqa: E731
    x = torch.randn(1, 16, 20, 20)
    torch.testing.assert_close(torch.compile(layer, fullgraph=True)(x), layer(x))


@pytest.mark.parametrize("way", ["torch.compile(f, fullgraph=True, backend='eager')", "fake(f)", "exported(f)"])
def test_the_first_call_of_a_process_may_be_traced(way, run_python):
    """Nothing has loaded the library before."""
    run_python(f"""
import torch, pyseg
from torch._subclasses.fake_tensor import FakeTensorMode

x, w = torch.rand(1, 8, 20, 21), torch.rand(8, 1, 3, 3)
f = lambda x: pyseg.depthwise_conv2d(x, w, dilation=4)

def fake(f):
    def run(x):
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            assert f(mode.from_tensor(x)).shape == (1, 8, 20, 21)
        return f(x)
    return run

def exported(f):
    class Module(torch.nn.Module):
        def forward(self, x):
            return f(x)
    return torch.export.export(Module(), (x,)).module()

assert torch.equal(({way})(x), f(x))
""")


def test_exports_with_sizes_that_change():
    class Module(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.randn(12, 1, 3, 3))

        def forward(self, x):
            return pyseg.depthwise_conv2d(x, self.weight, dilation=2)

    module = Module()
    height, width = torch.export.Dim("height", min=6, max=500), torch.export.Dim("width", min=6, max=500)
    program = torch.export.export(module, (torch.randn(1, 12, 20, 30),), dynamic_shapes=({2: height, 3: width},))
    for size in ((1, 12, 9, 40), (1, 12, 44, 31)):
        x = torch.randn(size)
        assert torch.equal(program.module()(x), module(x))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("rate", [1, 3])
def test_autocast_is_as_for_conv2d(dtype, rate):
    x, weight = torch.randn(1, 20, 15, 16, requires_grad=True), torch.randn(20, 1, 3, 3, requires_grad=True)
    bias = torch.randn(20, requires_grad=True)
    with torch.autocast("cpu", dtype):
        y = pyseg.depthwise_conv2d(x, weight, bias, dilation=rate)
        expected = F.conv2d(x, weight, bias, 1, rate, rate, 20)
    assert y.dtype == expected.dtype == dtype
    torch.testing.assert_close(y, expected, rtol=2e-2, atol=2e-2)
    y.sum().backward()
    assert x.grad.dtype == weight.grad.dtype == bias.grad.dtype == torch.float32


@pytest.mark.parametrize("rate", [1, 3])
@pytest.mark.parametrize("channels", [1, 2, 8, 40])
def test_memory_format_is_kept(channels, rate):
    x, weight = torch.randn(2, channels, 9, 10), torch.randn(channels, 1, 3, 3)
    assert pyseg.depthwise_conv2d(x, weight, dilation=rate).is_contiguous()
    y = pyseg.depthwise_conv2d(x.contiguous(memory_format=LAST), weight, dilation=rate)
    assert y.is_contiguous(memory_format=LAST)
    torch.testing.assert_close(y, pyseg.depthwise_conv2d(x, weight, dilation=rate), rtol=1e-5, atol=1e-5)
    mine = x.contiguous(memory_format=LAST).requires_grad_()
    (of_x,) = torch.autograd.grad(pyseg.depthwise_conv2d(mine, weight, dilation=rate).sum(), mine)
    assert of_x.is_contiguous(memory_format=LAST)


def test_what_needs_no_gradient_gets_none():
    x, weight = torch.randn(1, 8, 9, 9), torch.randn(8, 1, 3, 3, requires_grad=True)
    y = pyseg.depthwise_conv2d(x, weight, dilation=2)
    y.sum().backward()
    assert x.grad is None
    assert weight.grad.shape == weight.shape
    with torch.no_grad():
        assert not pyseg.depthwise_conv2d(x, weight, dilation=2).requires_grad


def test_relus_gradient_is_torchs():
    x, weight = torch.randn(1, 8, 9, 9, requires_grad=True), torch.randn(8, 1, 3, 3, requires_grad=True)
    grad = torch.randn(1, 8, 9, 9)
    fused = pyseg.depthwise_conv2d(x, weight, dilation=2, activation="relu")
    apart = pyseg.depthwise_conv2d(x, weight, dilation=2).relu()
    assert torch.equal(fused, apart)
    for a, b in zip(
        torch.autograd.grad(fused, (x, weight), grad), torch.autograd.grad(apart, (x, weight), grad), strict=True
    ):
        assert torch.equal(a, b)


def test_what_goes_to_torch_is_the_same():
    """By the documented rule, and with torch's result in both cases."""
    plain = torch.randn(1, 20, 12, 12)
    last = plain.contiguous(memory_format=LAST)
    cases = [
        (plain, 3, 1, False),
        (last, 3, 1, False),
        (last, 7, 1, False),
        (plain.bfloat16(), 3, 1, True),
        (last.bfloat16(), 3, 6, True),
        (last.bfloat16(), 3, 7, False),
        (plain.bfloat16(), 7, 1, False),
        (last.bfloat16(), 7, 1, True),
        (last.bfloat16(), 7, 2, False),
        (last.half(), 3, 1, False),
        (last.double(), 3, 1, False),
    ]
    for x, k, rate, expected in cases:
        weight, bias = torch.randn(20, 1, k, k).to(x.dtype), torch.randn(20).to(x.dtype)
        assert torch_is_faster(x, weight, [rate, rate]) == expected
        y = pyseg.depthwise_conv2d(x, weight, bias, dilation=rate, activation="relu")
        tolerance = 1e-5 if x.dtype in (torch.float32, torch.float64) else 5e-2
        theirs = F.conv2d(x, weight, bias, 1, "same", rate, 20).relu()
        torch.testing.assert_close(y, theirs, rtol=tolerance, atol=tolerance)
        assert torch_is_faster(x, weight.requires_grad_(), [rate, rate]) == (expected and k == 3 and rate == 1)
    last = last.bfloat16()
    even = pyseg.depthwise_conv2d(last, torch.ones(20, 1, 2, 2).bfloat16())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of its own copy
        theirs = F.conv2d(last, torch.ones(20, 1, 2, 2).bfloat16(), None, 1, "same", 1, 20)
    torch.testing.assert_close(even, theirs)
