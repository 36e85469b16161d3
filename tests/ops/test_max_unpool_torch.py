"""max_pool and max_unpool as torch ops: opcheck, gradients, compilation, export, layouts, modules."""

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode

import pyseg
from pyseg import _runtime

POOL = {1: pyseg.max_pool1d, 2: pyseg.max_pool2d, 3: pyseg.max_pool3d}
UNPOOL = {1: pyseg.max_unpool1d, 2: pyseg.max_unpool2d, 3: pyseg.max_unpool3d}
SHAPES = {1: (2, 3, 11), 2: (2, 3, 7, 9), 3: (1, 2, 5, 6, 7)}
WINDOWS = {"2, 2": (2, 2, 0), "3, 2, padded": (3, 2, 1)}


def distinct(shape, dtype=torch.float64):
    """No ties, and no two values nearer than gradcheck's step."""
    n = int(torch.Size(shape).numel())
    return (torch.randperm(n, generator=torch.Generator().manual_seed(0)).to(dtype) / n).view(shape)


def formats(x):
    yield x.contiguous()
    if x.dim() > 3:
        yield x.contiguous(memory_format=torch.channels_last if x.dim() == 4 else torch.channels_last_3d)


@pytest.mark.parametrize("kind", ["uint8", "int64"])
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_gradients_of_pooling(dims, window, kind):
    for x in formats(distinct(SHAPES[dims])):
        pool = lambda x: POOL[dims](x, *WINDOWS[window], indices=kind)[0]  # noqa: E731
        x.requires_grad_()
        torch.autograd.gradcheck(pool, x)
        torch.autograd.gradgradcheck(pool, x)


@pytest.mark.parametrize("kind", ["uint8", "int64"])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_gradients_of_unpooling(dims, kind):
    for x in formats(distinct(SHAPES[dims])):
        y, indices = POOL[dims](x, 2, indices=kind)
        y.requires_grad_()
        unpool = lambda y: UNPOOL[dims](y, indices, 2, output_size=x.shape)  # noqa: E731, B023
        torch.autograd.gradcheck(unpool, y)
        torch.autograd.gradgradcheck(unpool, y)


def test_second_derivatives_of_overlapping_windows():
    """As in torch the gradient is what stands where the index says, of losers too; that is what is derived again."""
    x = distinct((2, 3, 9, 10))
    y, indices = pyseg.max_pool2d(x, 3, 2)
    y.requires_grad_()
    g = torch.rand(x.shape, dtype=torch.float64).requires_grad_()
    (of_y,) = torch.autograd.grad(pyseg.max_unpool2d(y, indices), y, g, create_graph=True)
    v = torch.rand(y.shape, dtype=torch.float64)
    (of_g,) = torch.autograd.grad(of_y, g, v)
    _, places = F.max_pool2d(x, 3, 2, return_indices=True)
    theirs = torch.zeros(2, 3, 90, dtype=torch.float64).scatter_add_(2, places.flatten(2), v.flatten(2))
    torch.testing.assert_close(of_g.flatten(2), theirs, rtol=0, atol=1e-15)


@pytest.mark.parametrize("relu", [None, "relu"])
@pytest.mark.parametrize("given", [("scale",), ("shift",), ("scale", "shift"), ()])
def test_fused_affine_and_relu(given, relu):
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        for x in formats(distinct((2, 5, 7, 40)).to(dtype)):
            y, indices = pyseg.max_pool2d(x, 2)
            affine = {name: torch.rand(5, dtype=torch.float64) - 0.5 for name in given}
            leaves = [t.requires_grad_() for t in (y, *affine.values())]
            fused = pyseg.max_unpool2d(y, indices, **affine, activation=relu)
            plain = pyseg.max_unpool2d(y, indices).double()
            per_channel = {name: t.view(-1, 1, 1) for name, t in affine.items()}
            plain = plain * per_channel.get("scale", 1) + per_channel.get("shift", 0)
            plain = plain.relu() if relu else plain
            bar = {torch.float64: 1e-12, torch.float32: 1e-6, torch.bfloat16: 2.0**-8}[dtype]
            torch.testing.assert_close(fused.double(), plain, rtol=bar, atol=bar)
            assert fused.stride() == x.stride()
            g = torch.rand(x.shape).to(dtype)
            mine = torch.autograd.grad(fused, leaves, g)
            theirs = torch.autograd.grad(plain, leaves, g.double())
            for a, b in zip(mine, theirs, strict=True):
                torch.testing.assert_close(a.double(), b.double(), rtol=4 * bar, atol=4 * bar)
            out = torch.empty_like(x)
            with torch.no_grad():
                pyseg.max_unpool2d(y, indices, **affine, activation=relu, out=out)
            assert torch.equal(out, fused)


def test_gradients_of_fused():
    y, indices = pyseg.max_pool2d(distinct((2, 3, 5, 6)), 2)
    scale, shift = (torch.rand(3, dtype=torch.float64).requires_grad_() for _ in range(2))
    y.requires_grad_()
    for activation in (None, "relu"):

        def fused(y, scale, shift, activation=activation):
            return pyseg.max_unpool2d(y, indices, scale=scale, shift=shift, activation=activation)

        torch.autograd.gradcheck(fused, (y, scale, shift))
        torch.autograd.gradgradcheck(fused, (y, scale, shift))


@pytest.mark.parametrize("kind", [0, 1, 2])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dims", [2, 3])
def test_opcheck(dims, last, kind):
    ops = _runtime.torch_ops()
    x = distinct(SHAPES[dims], torch.float32)
    for window in (
        [2] * dims + [2] * dims + [0] * dims + [1] * dims,
        [3] * dims + [2] * dims + [1] * dims + [1] * dims,
    ):
        for leaf in (x, x.clone().requires_grad_()):
            torch.library.opcheck(ops.max_pool.default, (leaf, window, True, kind, last))
        y, indices = ops.max_pool(x, window, False, kind, last)
        size = list(x.shape[2:])
        for small, large in ((y, x), (y.clone().requires_grad_(), x.clone().requires_grad_())):
            for add in (False, True):
                arguments = (small, indices, window, size, add, False, None, None, False, last)
                torch.library.opcheck(ops.max_spread.default, arguments)
            torch.library.opcheck(ops.max_gather.default, (large, indices, window, last))
        scale = torch.rand(x.shape[1], dtype=torch.float64).requires_grad_()
        torch.library.opcheck(ops.max_spread.default, (y, indices, window, size, False, False, scale, None, True, last))
        out = torch.empty(x.shape)
        if last:
            out = out.contiguous(memory_format=torch.channels_last if dims == 2 else torch.channels_last_3d)
        arguments = (out, y, indices, window, size, False, None, None, False, last)
        torch.library.opcheck(ops.max_spread_out.default, arguments)


class Net(torch.nn.Module):
    """Two levels of SegNet, of sizes that are odd."""

    def __init__(self, indices="uint8"):
        super().__init__()
        self.pool = pyseg.nn.MaxPool2d(2, return_indices=True, indices=indices)
        self.unpool = pyseg.nn.MaxUnpool2d(2)

    def forward(self, x):
        a, i = self.pool(x)
        b, j = self.pool(a * 2)
        a = self.unpool(b + 1, j, output_size=a.shape)
        return self.unpool(a, i, output_size=x.shape) * 3


@pytest.mark.parametrize("kind", ["uint8", "int64"])
@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_whole(kind, dynamic):
    torch.compiler.reset()  # graphs of the other cases would count as recompilations of this one
    net = Net(kind)
    compiled = torch.compile(net, fullgraph=True, dynamic=dynamic)
    for shape in ((2, 3, 21, 26), (1, 3, 13, 15)):
        for x in formats(distinct(shape, torch.float32)):
            mine, again = x.clone().requires_grad_(), x.clone().requires_grad_()
            expected, result = net(mine), compiled(again)
            assert torch.equal(result, expected)
            assert result.stride() == expected.stride()
            expected.square().sum().backward()
            result.square().sum().backward()
            torch.testing.assert_close(again.grad, mine.grad)


def test_indices_leave_and_enter_compiled_functions():
    x = distinct((2, 3, 9, 11), torch.float32)
    y, indices = torch.compile(lambda x: pyseg.max_pool2d(x, 2), fullgraph=True, backend="eager")(x)
    assert isinstance(indices, pyseg.PoolIndices)
    assert indices.input_size == (9, 11)
    unpool = torch.compile(pyseg.max_unpool2d, fullgraph=True, backend="eager")
    assert torch.equal(unpool(y, indices), pyseg.max_unpool2d(y, indices))
    out = torch.empty_like(x)
    torch.compile(lambda y, i, out: pyseg.max_unpool2d(y, i, out=out), fullgraph=True)(y, indices, out)
    assert torch.equal(out, pyseg.max_unpool2d(y, indices))


@pytest.mark.parametrize("kind", ["uint8", "int64"])
def test_exports(kind):
    x = distinct((2, 3, 21, 26), torch.float32)
    program = torch.export.export(Net(kind), (x,))
    assert torch.equal(program.module()(x), Net(kind)(x))
    dynamic = torch.export.export(Net(kind), (x,), dynamic_shapes={"x": {0: torch.export.Dim("n", min=2, max=9)}})
    more = distinct((5, 3, 21, 26), torch.float32)
    assert torch.equal(dynamic.module()(more), Net(kind)(more))


@pytest.mark.parametrize("way", ["torch.compile(f, fullgraph=True, backend='eager')", "exported(f)"])
def test_the_first_call_of_a_process_may_be_traced(way, run_python):
    run_python(f"""
import torch, pyseg
x = torch.rand(2, 3, 7, 9)
def f(x):
    return pyseg.max_unpool2d(*pyseg.max_pool2d(x, 2))
def exported(f):
    class Module(torch.nn.Module):
        def forward(self, x):
            return f(x)
    return torch.export.export(Module(), (x,)).module()
assert torch.equal(({way})(x), f(x))
""")


def test_fake_tensors_have_shapes_and_no_work():
    _runtime.load_torch()
    with FakeTensorMode():
        y, indices = pyseg.max_pool2d(torch.empty(9, 64, 3000, 4001, dtype=torch.bfloat16), 2)
        assert tuple(y.shape) == (9, 64, 1500, 2000)
        assert tuple(pyseg.max_unpool2d(y, indices).shape) == (9, 64, 3000, 4001)


@pytest.mark.parametrize("dims", [2, 3])
def test_memory_formats_are_kept(dims):
    last = torch.channels_last if dims == 2 else torch.channels_last_3d
    x = distinct((2, 4, *SHAPES[dims][2:]), torch.float32).contiguous(memory_format=last)
    y, indices = POOL[dims](x, 2)
    back = UNPOOL[dims](y, indices)
    for t in (y, indices.codes, back):
        assert t.is_contiguous(memory_format=last)
    plain_y, plain = POOL[dims](x.contiguous(), 2)
    assert plain_y.is_contiguous()
    assert torch.equal(plain_y, y)
    assert torch.equal(plain.codes, indices.codes)
    assert torch.equal(UNPOOL[dims](y, plain), back)  # formats may be mixed
    for out in (torch.empty_like(x), torch.empty(x.shape)):
        assert torch.equal(UNPOOL[dims](y, indices, out=out), back)
    leaf = x.clone().requires_grad_()
    POOL[dims](leaf, 2)[0].sum().backward()
    assert leaf.grad.is_contiguous(memory_format=last)


def test_any_strides():
    base = distinct((2, 6, 14, 20), torch.float32)
    for x in (base[:, ::2, 1:, ::3], base.transpose(2, 3), base[:1].expand(3, -1, -1, -1), base.permute(0, 2, 3, 1)):
        y, indices = pyseg.max_pool2d(x, 2)
        assert torch.equal(y, F.max_pool2d(x.contiguous(), 2))
        assert torch.equal(
            pyseg.max_unpool2d(y.transpose(2, 3).contiguous().transpose(2, 3), indices),
            pyseg.max_unpool2d(y.contiguous(), indices),
        )
    out = torch.zeros(2, 6, 14, 40)[..., ::2]
    y, indices = pyseg.max_pool2d(base, 2)
    assert pyseg.max_unpool2d(y, indices, out=out) is out
    assert torch.equal(out, pyseg.max_unpool2d(y, indices))


def test_no_batch():
    for dims, shape in SHAPES.items():
        x = distinct(shape, torch.float32)
        y, indices = POOL[dims](x[0], 2)
        whole_y, whole = POOL[dims](x[:1], 2)
        assert torch.equal(y, whole_y[0])
        assert torch.equal(UNPOOL[dims](y, indices), UNPOOL[dims](whole_y, whole)[0])


def test_empty_tensors():
    for shape in ((0, 3, 6, 7), (2, 0, 6, 7), (0, 0, 6, 7)):
        for x in (t.clone().requires_grad_() for t in formats(torch.zeros(shape))):
            y, indices = pyseg.max_pool2d(x, 2)
            assert tuple(y.shape) == (*shape[:2], 3, 3)
            assert tuple(pyseg.max_unpool2d(y, indices).shape) == shape
            y.sum().backward()
            assert x.grad.shape == x.shape


@pytest.mark.parametrize("kind", ["uint8", "int64"])
def test_deterministic_mode_does_not_raise(kind):
    torch.use_deterministic_algorithms(True)
    try:
        x = distinct((2, 3, 9, 10), torch.float32).requires_grad_()
        y, indices = pyseg.max_pool2d(x, 3, 2, indices=kind)
        pyseg.max_unpool2d(y, indices, 3, 2, output_size=(9, 10)).sum().backward()
        assert x.grad is not None
    finally:
        torch.use_deterministic_algorithms(False)


def test_under_autocast():
    x = distinct((2, 3, 8, 9), torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y, indices = pyseg.max_pool2d(x, 2)
        assert y.dtype == torch.float32
        assert pyseg.max_unpool2d(y.bfloat16(), indices).dtype == torch.bfloat16


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_modules_are_torchs(dims):
    x = distinct(SHAPES[dims], torch.float32)
    pool, theirs = (getattr(m, f"MaxPool{dims}d") for m in (pyseg.nn, torch.nn))
    unpool, their_unpool = (getattr(m, f"MaxUnpool{dims}d") for m in (pyseg.nn, torch.nn))
    for arguments in ((2,), (3, 2, 1), (3, None, 1), (2, 1, 0, 2)):
        mine = pool(*arguments, return_indices=True, indices="int64")
        y, places = theirs(*arguments, return_indices=True)(x)
        assert all(torch.equal(a, b) for a, b in zip(mine(x), (y, places), strict=True))
        assert torch.equal(pool(*arguments)(x), y)
        assert repr(mine) == repr(theirs(*arguments))
        assert not mine.state_dict()
    y, places = theirs(2, return_indices=True)(x)
    assert torch.equal(unpool(2)(y, places, x.shape), their_unpool(2)(y, places, x.shape))
    assert repr(unpool(3, 2)) == repr(their_unpool(3, 2))
    assert not unpool(2).state_dict()
    assert torch.equal(unpool(2)(*pool(2, return_indices=True)(x)), their_unpool(2)(y, places, x.shape))


@pytest.mark.cuda
def test_cuda_tensors_come_back():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA here")
    x = distinct((2, 3, 9, 10), torch.float32)
    y, indices = pyseg.max_pool2d(x.cuda(), 2)
    assert y.is_cuda
    assert indices.codes.is_cuda
    assert torch.equal(pyseg.max_unpool2d(y, indices).cpu(), pyseg.max_unpool2d(*pyseg.max_pool2d(x, 2)))
