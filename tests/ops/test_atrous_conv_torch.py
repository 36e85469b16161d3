"""atrous_conv2d as a torch op: gradients, packed weights that are kept, opcheck, compilation, export, autocast."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck, gradgradcheck

import pyseg
from pyseg import _runtime, nn

ALGORITHMS = ("direct", "winograd")


def tensors(shape=(2, 35, 13, 14), outputs=33, kernel=(3, 3), last=False, grad=True):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(shape, generator=generator)
    if last:
        x = x.contiguous(memory_format=torch.channels_last)
    weight = torch.randn(outputs, shape[1], *kernel, generator=generator)
    bias = torch.randn(outputs, generator=generator)
    return [t.requires_grad_(grad) for t in (x, weight, bias)]


def relative(a, b):
    return ((a - b).abs().max() / b.abs().max().clamp(min=1e-30)).item()


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(("rate", "padding"), [(1, 1), (2, 2), (5, 5), (6, 2), (12, 12), (2, 7), ((1, 4), (3, 0))])
def test_gradients(rate, padding, algorithm, last, relu, isa):
    args = tensors((2, 35, 23, 24) if rate == 6 else (2, 35, 13, 14), last=last)
    doubles = [t.detach().double().requires_grad_() for t in args]
    want = F.conv2d(*doubles, padding=padding, dilation=rate)
    torchs = F.conv2d(*args, padding=padding, dilation=rate)
    y = pyseg.atrous_conv2d(
        *args, dilation=rate, padding=padding, algorithm=algorithm, activation="relu" if relu else None
    )
    if relu:
        want, torchs = want.relu(), torchs.relu()
    cotangent = torch.empty_like(y).normal_(generator=torch.Generator().manual_seed(2))
    for name, ours, wanted, theirs in zip(
        ("x", "weight", "bias"),
        torch.autograd.grad(y, args, cotangent),
        torch.autograd.grad(want, doubles, cotangent.double()),
        torch.autograd.grad(torchs, args, cotangent),
        strict=True,
    ):
        assert relative(ours, wanted) < max(2 * relative(theirs, wanted), 1.5e-6), name
        if name == "x" and last:
            assert ours.is_contiguous(memory_format=torch.channels_last)


def test_gradients_of_a_stride():
    args = tensors(grad=True)
    y = pyseg.atrous_conv2d(*args, dilation=2, stride=2, padding=2, algorithm="direct")
    want = F.conv2d(*args, dilation=2, stride=2, padding=2)
    cotangent = torch.randn_like(y)
    for ours, theirs in zip(
        torch.autograd.grad(y, args, cotangent), torch.autograd.grad(want, args, cotangent), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(("rate", "padding"), [(1, 1), (2, 2), (3, 1)])
def test_gradcheck(algorithm, rate, padding):
    # The kernels are float32: a convolution is linear in each argument, so that long steps are exact.
    args = [t.detach().requires_grad_() for t in tensors((1, 2, 6, 7), 3)]

    def call(*a):
        return pyseg.atrous_conv2d(*a, dilation=rate, padding=padding, algorithm=algorithm)

    with pytest.warns(UserWarning, match="double precision"):
        assert gradcheck(call, args, eps=1e-1, atol=1e-3, rtol=1e-3, nondet_tol=0)
    with pytest.warns(UserWarning, match="double precision"):
        assert gradgradcheck(call, args, eps=1e-1, atol=1e-3, rtol=1e-3, nondet_tol=0)


def test_the_gradient_of_a_gradient():
    args = tensors()
    doubles = [t.detach().double().requires_grad_() for t in args]

    def second(call, arguments):
        y = call(*arguments)
        cotangent = torch.sin(torch.arange(y.numel(), dtype=y.dtype)).reshape(y.shape).requires_grad_()
        first = torch.autograd.grad(y, arguments[:2], cotangent, create_graph=True)
        return torch.autograd.grad(sum((g**2).sum() for g in first), [*arguments[:2], cotangent])

    ours = second(lambda *a: pyseg.atrous_conv2d(*a, dilation=3, algorithm="winograd"), args)
    want = second(lambda *a: F.conv2d(*a, dilation=3, padding=3), doubles)
    for a, b in zip(ours, want, strict=True):
        assert relative(a, b) < 5e-6


@pytest.mark.parametrize("algorithm", ["direct", "winograd", "winograd4"])
@pytest.mark.parametrize("last", [False, True])
def test_opcheck(algorithm, last):
    ops = _runtime.torch_ops()
    x, weight, bias = tensors(last=last)
    torch.library.opcheck(ops.atrous_conv2d.default, (x, weight, bias, [1, 1], [2, 2], [2, 2], algorithm, True))
    y = torch.randn(2, 33, 13, 14, requires_grad=True)
    torch.library.opcheck(ops.atrous_conv2d_grad_input.default, (y, weight, 13, 14, [2, 2], [2, 2], algorithm))
    torch.library.opcheck(ops.atrous_conv2d_grad_weight.default, (x, y, [3, 3], [1, 1], [2, 2], [2, 2], algorithm))


def test_weights_that_were_written_to_are_packed_anew():
    x, weight, _ = tensors(grad=False)

    def ours():
        return pyseg.atrous_conv2d(x, weight, dilation=2, algorithm="winograd")

    def close():
        torch.testing.assert_close(ours(), F.conv2d(x, weight, padding=2, dilation=2), rtol=1e-4, atol=1e-4)

    ours()
    weight.mul_(2)
    close()
    weight.data[0, 0, 0, 0] += 100  # past the version counter
    close()
    weight.numpy()[-1, -1, -1, -1] -= 100
    close()
    with torch.inference_mode():
        weight = weight.clone()  # without a version counter
        close()
        weight.zero_()
        assert not ours().any()


def test_kept_weights_do_not_outlive_the_tensor_and_do_not_pile_up():
    from pyseg.ops import _atrous_torch

    weight = tensors(grad=False)[1]
    before = len(_atrous_torch._packed)
    for rate in range(1, 12):
        for transposed in (False, True):
            geometry = _atrous_torch.geometry_of(weight, (1, 1), (rate, rate), (rate, rate), "winograd")
            _atrous_torch.pack(weight, (13, 14), geometry, transposed)
    kept = _atrous_torch._packed[weight]
    assert 1 <= len(kept) <= 4
    again = _atrous_torch.pack(weight, (13, 14), geometry, transposed)
    assert any(again is packed for _, packed in kept.values())
    del weight, kept
    assert len(_atrous_torch._packed) == before


@pytest.mark.parametrize("dynamic", [False, True])
def test_compile(dynamic):
    layer = nn.AtrousConv2d(35, 33, 3, padding=2, dilation=2)
    compiled = torch.compile(layer, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for size in ((13, 14), (17, 9)):
        x = torch.randn(2, 35, *size, requires_grad=True)
        y, want = compiled(x), layer(x)
        assert torch.equal(y, want)
        grads = torch.autograd.grad(y.sum(), [x, layer.weight])
        for a, b in zip(grads, torch.autograd.grad(want.sum(), [x, layer.weight]), strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("last", [False, True])
def test_points_compile(last):
    layer = nn.AtrousConv2d(256, 64, 1)
    x = torch.randn(1, 256, 13, 15)
    if last:
        x = x.contiguous(memory_format=torch.channels_last)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for threads in (1, 2):
        torch.set_num_threads(threads)
        torch.testing.assert_close(compiled(x), F.conv2d(x, layer.weight, layer.bias), rtol=1e-4, atol=1e-4)


def test_export():
    layer = nn.AtrousConv2d(35, 33, 3, padding=4, dilation=4).eval()
    x = torch.randn(1, 35, 20, 20)
    program = torch.export.export(layer, (x,))
    assert any("atrous_conv2d" in str(node.target) for node in program.graph.nodes)
    torch.testing.assert_close(program.module()(x), F.conv2d(x, layer.weight, layer.bias, padding=4, dilation=4))


def test_autocast_is_conv2ds():
    layer = nn.AtrousConv2d(35, 33, 3, padding=2, dilation=2)
    x = torch.randn(1, 35, 13, 14)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
        want = F.conv2d(x, layer.weight, layer.bias, padding=2, dilation=2)
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, want)


def test_fast_is_never_in_training():
    x, weight, bias = tensors()
    y = pyseg.atrous_conv2d(x, weight, bias, dilation=1, algorithm="fast")
    assert torch.equal(y, pyseg.atrous_conv2d(x, weight, bias, dilation=1, algorithm="winograd"))
    with torch.no_grad():
        fast = pyseg.atrous_conv2d(x, weight, bias, dilation=1, algorithm="fast")
    assert not torch.equal(y, fast)


def test_the_switch_for_f4(monkeypatch):
    x, weight, bias = tensors(grad=False)
    exact = pyseg.atrous_conv2d(x, weight, bias, dilation=1)
    monkeypatch.setattr(pyseg.backends, "allow_winograd4", True)
    fast = pyseg.atrous_conv2d(x, weight, bias, dilation=1)
    assert not torch.equal(exact, fast)
    assert torch.equal(fast, pyseg.atrous_conv2d(x, weight, bias, dilation=1, algorithm="fast"))


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("algorithm", ["auto", "winograd"])
def test_the_layer_is_conv2d(mode, algorithm):
    torch.manual_seed(0)
    theirs = torch.nn.Conv2d(35, 33, 3, padding=2, dilation=2, padding_mode=mode)
    ours = nn.AtrousConv2d(35, 33, 3, padding=2, dilation=2, padding_mode=mode)
    ours.algorithm = algorithm
    ours.load_state_dict(theirs.state_dict(), strict=True)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for shape in ((2, 35, 16, 18), (35, 16, 18)):
        x = torch.randn(shape)
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)
    assert repr(ours).replace("Atrous", "") == repr(theirs)
    assert torch.equal(copy.deepcopy(ours)(x), ours(x))


def test_a_training_step_and_many_views():
    layer = nn.SeparableAtrousConv2d(40, 48, dilation=4, norm=True)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    x = torch.randn(2, 80, 30, 26)[:, ::2, 1:, ::2]  # neither contiguous nor channels_last
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = layer(x).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert layer(x).shape == (2, 48, 29, 13)


def test_memory_formats_of_one_pixel_and_one_channel():
    for shape in ((2, 1, 9, 9), (2, 40, 1, 1), (1, 40, 9, 1)):
        x = torch.randn(shape)
        weight = torch.randn(36, shape[1], 3, 3)
        for form in (torch.contiguous_format, torch.channels_last):
            for algorithm in ("direct", "winograd"):
                y = pyseg.atrous_conv2d(x.contiguous(memory_format=form), weight, dilation=1, algorithm=algorithm)
                torch.testing.assert_close(y, F.conv2d(x, weight, padding=1), rtol=1e-4, atol=1e-4)


def test_what_the_library_refuses_when_python_is_passed_by():
    ops = _runtime.torch_ops()
    x, weight, _ = tensors(grad=False)
    geometry = [3, 3, 1, 1, 2, 2, 2, 2, 1]
    packed = ops.atrous_pack(weight, 13, 14, geometry, False)
    out = torch.empty(2, 33, 13, 14)
    bad = [
        lambda: ops.atrous_forward(x, packed[:-1], geometry, None, None, False, out),
        lambda: ops.atrous_forward(x, packed, geometry, None, None, False, out[:, :, 1:]),
        lambda: ops.atrous_forward(x, packed, geometry, torch.zeros(5), None, False, out),
        lambda: ops.atrous_forward(x.double(), packed, geometry, None, None, False, out),
        lambda: ops.atrous_forward(x[:, :, ::2], packed, geometry, None, None, False, out),
        lambda: ops.atrous_forward(x, packed, geometry[:-1], None, None, False, out),
        lambda: ops.atrous_forward(x, packed, [*geometry[:-1], 7], None, None, False, out),
        lambda: ops.atrous_pack(weight, 13, 14, [3, 3, 2, 1, 2, 2, 2, 2, 1], False),
        lambda: ops.atrous_pack(weight, 0, 14, geometry, False),
        lambda: ops.atrous_pack(weight, 13, 14, [3, 3, 1, 1, 2, 2, 2**40, 2, 0], False),
        lambda: ops.atrous_grad_weight(x, out[:1], geometry),
    ]
    for call in bad:
        with pytest.raises((RuntimeError, ValueError), match="atrous_conv2d"):
            call()
