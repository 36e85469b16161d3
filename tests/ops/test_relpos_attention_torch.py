"""relpos_attention as a torch op: gradients, opcheck, compilation, export, autocast, SAM's layer, errors in words."""

import numpy as np
import pytest
import torch
from relpos_peers import eager, problem, relative
from torch.autograd import gradcheck

import pyseg
from pyseg import _runtime, nn

NAMES = ("q", "k", "v", "rel_h", "rel_w")


def gradients(call, tensors, size, cotangent):
    out = call(*tensors, size)
    return torch.autograd.grad(out, tensors, cotangent.to(out.dtype))


def packed_call(q, k, v, rel_h, rel_w, size):
    qkv = torch.stack([t.transpose(1, 2) for t in (q, k, v)], 2)
    return pyseg.relpos_attention_qkv(qkv, rel_h, rel_w, size).transpose(1, 2)


@pytest.mark.parametrize("channels", [64, 80, 5])
@pytest.mark.parametrize("size", [(14, 14), (20, 23), (4, 100), (33, 7)], ids=str)
def test_gradients(size, channels, isa):
    tensors = problem(size, channels=channels)
    doubles = [t.detach().double().requires_grad_() for t in tensors]
    cotangent = torch.randn(tensors[0].shape, generator=torch.Generator().manual_seed(1))
    want = gradients(eager, doubles, size, cotangent)
    ours = gradients(pyseg.relpos_attention, tensors, size, cotangent)
    theirs = gradients(eager, tensors, size, cotangent)
    for name, a, b, c in zip(NAMES, ours, want, theirs, strict=True):
        assert relative(a, b) <= 2 * relative(c, b), name
    for name, a, b in zip(NAMES, gradients(packed_call, tensors, size, cotangent), ours, strict=True):
        assert torch.equal(a, b), name


def test_gradients_of_sams_own_size():
    size = (64, 64)
    tensors = problem(size, 1, 1)
    cotangent = torch.randn(tensors[0].shape, generator=torch.Generator().manual_seed(1))
    want = gradients(eager, [t.detach().double().requires_grad_() for t in tensors], size, cotangent)
    theirs = gradients(eager, tensors, size, cotangent)
    for a, b, c in zip(gradients(pyseg.relpos_attention, tensors, size, cotangent), want, theirs, strict=True):
        assert relative(a, b) <= 2 * relative(c, b)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_gradients_in_half_precision(dtype):
    size = (14, 14)
    tensors = problem(size, dtype=dtype)
    doubles = [t.detach().double().requires_grad_() for t in tensors]
    cotangent = torch.randn(tensors[0].shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    want = gradients(eager, doubles, size, cotangent)
    ours = gradients(pyseg.relpos_attention, tensors, size, cotangent)
    theirs = gradients(eager, tensors, size, cotangent)
    for name, t, a, b, c in zip(NAMES, tensors, ours, want, theirs, strict=True):
        assert a.dtype == t.dtype, name
        assert relative(a, b) <= 2 * relative(c, b), name


def test_more_heads_than_tasks():
    """Gradients of the tables are sums over more heads than there are parts of them."""
    size = (4, 5)
    tensors = problem(size, 15, 9, 8)
    cotangent = torch.randn(tensors[0].shape)
    want = gradients(eager, [t.detach().double().requires_grad_() for t in tensors], size, cotangent)
    for a, b in zip(gradients(pyseg.relpos_attention, tensors, size, cotangent), want, strict=True):
        assert relative(a, b) < 2e-6


@pytest.mark.parametrize("call", [pyseg.relpos_attention, packed_call])
@pytest.mark.parametrize(("size", "lengths"), [((3, 4), None), ((1, 3), None), ((3, 2), (7, 2))])
def test_gradcheck(size, lengths, call):
    tensors = problem(size, 2, 2, 3, torch.float64, lengths)
    assert gradcheck(lambda *a: call(*a, size), tensors, nondet_tol=0)


def test_second_derivatives_are_refused_in_words():
    tensors = problem((2, 3), 1, 1, 4)
    out = pyseg.relpos_attention(*tensors, (2, 3))
    (of_q,) = torch.autograd.grad(out.sum(), tensors[:1], create_graph=True)
    with pytest.raises(NotImplementedError, match="relpos_attention: there are no second derivatives"):
        of_q.sum().backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_opcheck(dtype):
    ops = _runtime.torch_ops()
    tensors = problem((3, 4), channels=8, dtype=dtype)
    q, k, v = (t.detach().transpose(1, 2).requires_grad_() for t in tensors[:3])
    torch.library.opcheck(ops.relpos_attention.default, (q, k, v, *tensors[3:], 0.3))
    qkv = torch.stack([q, k, v], 2).detach().requires_grad_()
    torch.library.opcheck(ops.relpos_attention_packed.default, (qkv, *tensors[3:], 0.3))
    plain = [t.detach() for t in (q, k, v, *tensors[3:])]
    out, norms = ops.relpos_attention(*plain, 0.3)
    torch.library.opcheck(ops.relpos_attention_backward.default, (torch.ones_like(out), *plain, out, norms, 0.3))
    packed = (torch.ones_like(out), qkv.detach(), *plain[3:], out, norms, 0.3)
    torch.library.opcheck(ops.relpos_attention_packed_backward.default, packed)


def layer(size=(6, 7), **options):
    torch.manual_seed(0)
    made = nn.RelPosAttention(24, 3, input_size=size, **options)
    for table in (made.rel_pos_h, made.rel_pos_w):
        torch.nn.init.normal_(table, std=0.2)
    return made


@pytest.mark.parametrize("dynamic", [False, True])
def test_compile(dynamic):
    ours = layer()
    compiled = torch.compile(ours, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for shape in ((2, 6, 7, 24), (3, 6, 7, 24), (1, 5, 9, 24)):
        x = torch.randn(shape, requires_grad=True)
        y, want = compiled(x), ours(x)
        torch.testing.assert_close(y, want)
        inputs = [x, *ours.parameters()]
        for a, b in zip(
            torch.autograd.grad(y.square().sum(), inputs), torch.autograd.grad(want.square().sum(), inputs), strict=True
        ):
            torch.testing.assert_close(a, b)


def test_compile_of_the_function():
    size = (4, 5)
    tensors = problem(size, channels=8)
    compiled = torch.compile(pyseg.relpos_attention, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(*tensors, size), pyseg.relpos_attention(*tensors, size))


def test_export():
    ours = layer().eval()
    x = torch.randn(2, 6, 7, 24)
    program = torch.export.export(ours, (x,))
    assert any("relpos_attention" in str(node.target) for node in program.graph.nodes)
    assert torch.equal(program.module()(x), ours(x))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("size", [(6, 7), (8, 5)])
def test_the_layer_is_sams(size, bias):
    """Parameters by SAM's names; for another size of map its tables are interpolated."""
    ours = layer(qkv_bias=bias)
    names = {"qkv.weight", "proj.weight", "proj.bias", "rel_pos_h", "rel_pos_w"} | ({"qkv.bias"} if bias else set())
    assert set(ours.state_dict()) == names
    assert [tuple(t.shape) for t in (ours.rel_pos_h, ours.rel_pos_w)] == [(11, 8), (13, 8)]
    x = torch.randn(2, *size, 24)
    q, k, v = ours.qkv(x).reshape(2, size[0] * size[1], 3, 3, 8).permute(2, 0, 3, 1, 4)
    attended = eager(q, k, v, ours.rel_pos_h, ours.rel_pos_w, size)
    want = ours.proj(attended.transpose(1, 2).reshape(2, *size, 24))
    torch.testing.assert_close(ours(x), want, rtol=1e-5, atol=1e-6)
    other = nn.RelPosAttention(24, 3, qkv_bias=bias, input_size=(6, 7))
    other.load_state_dict(ours.state_dict(), strict=True)
    assert torch.equal(other(x), ours(x))


def test_a_training_step_lowers_the_loss():
    ours = layer()
    x, target = torch.randn(2, 6, 7, 24), torch.randn(2, 6, 7, 24)
    optimizer = torch.optim.SGD(ours.parameters(), lr=0.5)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = (ours(x) - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True)
    assert all(p.grad.isfinite().all() and p.grad.any() for p in ours.parameters())


def test_autocast():
    ours = layer()
    x = torch.randn(2, 6, 7, 24)
    with torch.autocast("cpu", torch.bfloat16):
        y = ours(x)
    assert y.dtype == torch.bfloat16
    assert relative(y.detach(), ours(x).detach().double()) < 2e-2
    y.float().square().sum().backward()
    assert all(p.grad.dtype == torch.float32 for p in ours.parameters())


def test_nothing_of_the_size_of_the_bias(run_python):
    """SAM's 64 x 64: a dense bias would be 805 MB; what a pass takes beside its tensors is a hundredth of that."""
    code = """
import resource, sys, torch, pyseg
torch.set_num_threads(1)
qkv = torch.randn(1, 4096, 3, 12, 64)
tables = torch.randn(2, 127, 64)
pyseg.relpos_attention_qkv(qkv[:, :4, :, :1], *tables[:, :3], (2, 2))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
pyseg.relpos_attention_qkv(qkv, *tables, (64, 64))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""
    taken = int(run_python(code, timeout=120))
    result = 4096 * 12 * (64 + 2) * 4
    assert taken - result < 12 * 4096**2 * 4 / 100


def wrong_calls():
    q, k, v, rel_h, rel_w = (t.detach() for t in problem((2, 3), 2, 2, 4))
    call, size = pyseg.relpos_attention, (2, 3)
    yield lambda: call(q[0], k, v, rel_h, rel_w, size), ValueError, r"q must be \[B, heads, H W, d\], got \[2, 6, 4\]"
    yield lambda: call(q, k[:, :1], v, rel_h, rel_w, size), ValueError, r"k must be \[2, 2, 6, 4\] as q"
    yield lambda: call(q, k, 3, rel_h, rel_w, size), ValueError, "v must be"
    yield lambda: call(3, k, v, rel_h, rel_w, size), TypeError, "q must be a NumPy, CuPy or torch array, got int"
    yield lambda: call(q, k, v, rel_h, rel_w, (2, 4)), ValueError, r"q must have 2 x 4 = 8 pixels, got 6"
    yield lambda: call(q, k, v, rel_h, rel_w, 6), ValueError, r"size must be \(height, width\), got 6"
    yield lambda: call(q, k, v, rel_h, rel_w, "23"), ValueError, "size must be"
    yield lambda: call(q, k, v, rel_h, rel_w, (2.0, 3)), TypeError, "size must be two integers"
    yield lambda: call(q, k, v, rel_h, rel_w, (-2, -3)), ValueError, "size must be at least 1 x 1"
    yield lambda: call(q[:, :, :0], k[:, :, :0], v[:, :, :0], rel_h, rel_w, (0, 3)), ValueError, "size must be at least"
    yield lambda: call(q, k, v, rel_h[:, :3], rel_w, size), ValueError, r"rel_h must be \[length, 4\].*got \[3, 3\]"
    yield lambda: call(q, k, v, rel_h, rel_w[:0], size), ValueError, r"rel_w must be \[length, 4\]"
    yield lambda: call(q, k, v, rel_h, rel_w.numpy(), size), TypeError, "rel_w must be of the same kind"
    yield lambda: call(q, k, v, rel_h, None, size), TypeError, "rel_w must be an array"
    yield lambda: call(q, k.double(), v, rel_h, rel_w, size), TypeError, "k must be of q's dtype"
    yield lambda: call(q.int(), k.int(), v.int(), rel_h, rel_w, size), TypeError, "q must be float32"
    yield lambda: call(q, k, v, rel_h.double(), rel_w, size), TypeError, "rel_h must be float64 where q is"
    yield lambda: call(q, k, v, rel_h, rel_w, size, scale="1"), TypeError, "scale must be a number"
    yield lambda: call(q, k, v, rel_h, rel_w, size, scale=float("inf")), ValueError, "scale must be finite"
    yield lambda: call(q[..., :0], k[..., :0], v[..., :0], rel_h, rel_w, size), ValueError, "1 .. 65536 channels"
    yield lambda: call(q.to_sparse(), k, v, rel_h, rel_w, size), TypeError, "q must be a dense tensor"
    yield lambda: call(q.to("meta"), k, v, rel_h, rel_w, size), TypeError, "q must be a dense tensor"
    yield lambda: call(q, k.numpy(), v, rel_h, rel_w, size), TypeError, "k must be a torch tensor"
    numbers = [t.numpy() for t in (q, k, v, rel_h, rel_w)]
    yield lambda: call(numbers[0].astype("i4"), *numbers[1:], size), TypeError, "q must be float16"
    yield lambda: call(numbers[0], numbers[1].astype("f8"), *numbers[2:], size), TypeError, "of one dtype"
    yield (
        lambda: call(*numbers[:3], numbers[3].astype("f8"), numbers[4], size),
        TypeError,
        "rel_h must be float64 where",
    )
    triple = torch.stack([t.transpose(1, 2) for t in (q, k, v)], 2)
    qkv = pyseg.relpos_attention_qkv
    yield lambda: qkv(triple[:, :, :2], rel_h, rel_w, size), ValueError, r"qkv must be \[B, H W, 3, heads, d\]"
    yield lambda: qkv(triple[0], rel_h, rel_w, size), ValueError, r"qkv must be \[B, H W, 3, heads, d\]"
    yield lambda: qkv(triple.int(), rel_h, rel_w, size), TypeError, "qkv must be float32"


@pytest.mark.parametrize("number", range(len(list(wrong_calls()))))
def test_errors_in_words(number):
    call, kind, words = list(wrong_calls())[number]
    with pytest.raises(kind, match=f"relpos_attention: .*{words}"):
        call()


@pytest.mark.parametrize(("dim", "heads"), [(10, 3), (4, 0), (0, 4)])
def test_a_layer_of_no_whole_heads(dim, heads):
    with pytest.raises(ValueError, match="RelPosAttention: dim must be a multiple of num_heads"):
        nn.RelPosAttention(dim, heads)


def test_what_the_library_refuses_when_python_is_passed_by():
    ops = _runtime.torch_ops()
    q, k, v, rel_h, rel_w = (t.detach() for t in problem((2, 3), 2, 2, 4))
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    out, norms = ops.relpos_attention(q, k, v, rel_h, rel_w, 0.5)
    back = ops.relpos_attention_backward
    bad = [
        lambda: ops.relpos_attention(q, k[:, 1:], v, rel_h, rel_w, 0.5),
        lambda: ops.relpos_attention(q, k, v, rel_h[:2], rel_w, 0.5),
        lambda: ops.relpos_attention(q, k, v, rel_h[:1], rel_w, 0.5),
        lambda: ops.relpos_attention(q, k, v, rel_h[:0], rel_w, 0.5),
        lambda: ops.relpos_attention(q, k, v, rel_h[:, :2], rel_w, 0.5),
        lambda: ops.relpos_attention(q, k, v, rel_h.double(), rel_w, 0.5),
        lambda: ops.relpos_attention(q, k.double(), v, rel_h, rel_w, 0.5),
        lambda: ops.relpos_attention(q.long(), k.long(), v.long(), rel_h, rel_w, 0.5),
        lambda: ops.relpos_attention(q[0], k[0], v[0], rel_h, rel_w, 0.5),
        lambda: ops.relpos_attention(q, k, v, rel_h, rel_w, float("nan")),
        lambda: ops.relpos_attention_packed(torch.stack([q, k], 2), rel_h, rel_w, 0.5),
        lambda: ops.relpos_attention_packed(q, rel_h, rel_w, 0.5),
        lambda: back(out[:, :1], q, k, v, rel_h, rel_w, out, norms, 0.5),
        lambda: back(out, q, k, v, rel_h, rel_w, out[:, :, :1], norms, 0.5),
        lambda: back(out, q, k, v, rel_h, rel_w, out, norms[:, :1], 0.5),
        lambda: back(out, q, k, v, rel_h, rel_w, out, norms.double(), 0.5),
        lambda: back(out, q, k, v, rel_h, rel_w, out, norms[..., 0], 0.5),
        lambda: back(out.double(), q, k, v, rel_h, rel_w, out, norms, 0.5),
    ]
    for call in bad:
        with pytest.raises((RuntimeError, ValueError, TypeError), match="relpos_attention"):
            call()
    native = _runtime.native().relpos_attention
    arrays = [np.ascontiguousarray(t.numpy()) for t in (q, k, v, rel_h, rel_w)]
    for i, wrong in enumerate([arrays[0][0], arrays[1][:, 1:], arrays[2].astype("f8"), arrays[3][:2], arrays[4][:1]]):
        with pytest.raises((ValueError, TypeError), match="relpos_attention"):
            native(*arrays[:i], wrong, *arrays[i + 1 :], 0.5)
