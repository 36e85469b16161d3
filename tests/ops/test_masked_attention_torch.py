"""masked_attention as a torch op: gradients, half precision, opcheck, compilation, export, autocast, and the layer."""

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

import pyseg
from pyseg import _runtime, nn

SIZE = (18, 21)


def tensors(queries=21, channels=64, size=SIZE, dtype=torch.float32, grad=True, density=0.1):
    generator = torch.Generator().manual_seed(1)
    keys = size[0] * size[1]
    rows = [torch.randn(2, n, channels, generator=generator).to(dtype) for n in (queries, keys, keys)]
    inside = torch.rand(2, queries, keys, generator=generator) < density
    inside[:, 2 % queries] = True
    return [x.requires_grad_(grad) for x in rows], inside


def sdpa(rows, inside, heads):
    """torch's, with the empty masks filled."""
    q, k, v = (x.unflatten(2, (heads, -1)).transpose(1, 2) for x in rows)
    full = inside | ~inside.any(2, keepdim=True)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=full[:, None]).transpose(1, 2).flatten(2)


def passes(call, rows):
    out = call(rows)
    cotangent = torch.randn(out.shape, generator=torch.Generator().manual_seed(5)).to(out.dtype)
    return [out.detach(), *torch.autograd.grad(out, rows, cotangent)]


def error(a, b):
    return ((a.double() - b).abs().max() / b.abs().max()).item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(("channels", "heads"), [(32, 2), (64, 2), (128, 2), (128, 1), (20, 2), (48, 1)])
def test_errors_are_torchs(channels, heads, dtype, isa):
    rows, inside = tensors(channels=channels, dtype=dtype)
    want = passes(lambda r: sdpa(r, inside, heads), [x.detach().double().requires_grad_() for x in rows])
    theirs = passes(lambda r: sdpa(r, inside, heads), rows)
    ours = passes(lambda r: pyseg.masked_attention(*r, attn_mask=inside, size=SIZE, heads=heads), rows)
    for name, a, b, exact in zip(("out", "q", "k", "v"), ours, theirs, want, strict=True):
        assert a.dtype == dtype
        assert error(a, exact) <= max(2 * error(b, exact), 1e-6), name


@pytest.mark.parametrize("queries", [1, 257, 530])
def test_gradients_of_many_queries(queries, isa):
    rows, inside = tensors(queries, 32)
    call = lambda r: pyseg.masked_attention(*r, attn_mask=inside, size=SIZE, heads=1)  # noqa: E731
    want = passes(call, [x.detach().double().requires_grad_() for x in rows])
    for a, b in zip(passes(call, rows), want, strict=True):
        assert error(a, b) < 2e-6


@pytest.mark.parametrize("empty", ["all", "zero"])
@pytest.mark.parametrize("size", [(4, 5), (1, 20)])
def test_gradcheck(size, empty):
    rows, inside = tensors(4, 6, size, torch.float64, density=0.4)
    inside[:, 1] = False

    def call(*r):
        return pyseg.masked_attention(*r, attn_mask=inside, size=size, heads=2, empty=empty)

    assert gradcheck(call, rows, nondet_tol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_masked_rows_have_finite_gradients(dtype, isa):
    rows, inside = tensors(dtype=dtype)
    inside[0] = False
    out, *grads = passes(lambda r: pyseg.masked_attention(*r, attn_mask=inside, size=SIZE, empty="zero"), rows)
    assert not out[0].any()
    assert not any(g[0].any() for g in grads)
    assert all(g.isfinite().all() and g[1].any() for g in grads)


def test_gradients_ignore_what_is_outside(isa):
    rows, inside = tensors(density=0.3)
    inside[:, 2] = False
    inside[:, 2, 1] = True
    inside[:, :, ::5] = False
    inside[:, :, 7] = True
    call = lambda r: pyseg.masked_attention(*r, attn_mask=inside, size=SIZE)  # noqa: E731
    want = passes(call, rows)
    strange = [x.detach().clone() for x in rows]
    for x in strange[1:]:
        x[:, ::5] = torch.nan
    for a, b in zip(passes(call, [x.requires_grad_() for x in strange]), want, strict=True):
        assert torch.equal(a, b)


def test_threads_and_isas_do_not_show_in_gradients(set_isa):
    rows, inside = tensors(70, 256)
    results = []
    for name in ("avx2", "avx512"):
        set_isa(name)
        for threads in (1, 2, 3, 16):
            torch.set_num_threads(threads)
            results.append(passes(lambda r: pyseg.masked_attention(*r, attn_mask=inside, size=SIZE), rows))
    for result in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(result, results[0], strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("grad", [False, True])
def test_opcheck(dtype, grad):
    ops = _runtime.torch_ops()
    rows, inside = tensors(5, 16, (6, 7), dtype, grad)
    bits = ops.mask_bits(inside, 6, 7)
    torch.library.opcheck(ops.masked_attention.default, (*rows, bits, 6, 7, 2, True))
    torch.library.opcheck(ops.mask_bits.default, (inside, 6, 7))
    torch.library.opcheck(ops.mask_bitmap.default, (torch.randn(2, 5, 12, 14), 6, 7, 0.0))
    rows = [x.detach() for x in rows]
    out, lse = ops.masked_attention(*rows, bits, 6, 7, 2, True)
    torch.library.opcheck(
        ops.masked_attention_backward.default, (torch.randn_like(out), *rows, bits, out, lse, 6, 7, 2, True)
    )


@pytest.mark.parametrize("dynamic", [False, True])
def test_compile(dynamic):
    layer = nn.MaskedCrossAttention(32, 4)
    compiled = torch.compile(layer, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    for height, width in ((6, 7), (17, 9)):
        x, memory = torch.randn(2, 5, 32, requires_grad=True), torch.randn(2, height * width, 32)
        logits = torch.randn(2, 5, 2 * height, 2 * width)
        call = lambda f: f(x, memory, memory, logits, size=(height, width))  # noqa: B023, E731
        y, want = call(compiled), call(layer)
        assert torch.equal(y, want)
        for a, b in zip(
            torch.autograd.grad(y.sum(), [x, layer.in_proj_weight]),
            torch.autograd.grad(want.sum(), [x, layer.in_proj_weight]),
            strict=True,
        ):
            torch.testing.assert_close(a, b)


def test_export():
    class Both(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MaskedCrossAttention(32, 4)

        def forward(self, x, memory, logits):
            bits = pyseg.mask_bitmap(logits, (6, 7))
            return self.attention(x, memory, memory, attn_mask=bits, size=(6, 7))

    module = Both().eval()
    arguments = torch.randn(1, 5, 32), torch.randn(1, 42, 32), torch.randn(1, 5, 12, 14)
    program = torch.export.export(module, arguments)
    assert any("masked_attention" in str(node.target) for node in program.graph.nodes)
    torch.testing.assert_close(program.module()(*arguments), module(*arguments))


def test_autocast():
    layer = nn.MaskedCrossAttention(64, 2)
    x, memory, logits = torch.randn(1, 5, 64), torch.randn(1, 42, 64), torch.randn(1, 5, 12, 14)
    want = layer(x, memory, memory, logits, size=(6, 7))
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x, memory, memory, logits, size=(6, 7))
        y.float().sum().backward()
        mixed = pyseg.masked_attention(x, memory.bfloat16(), memory, logits, size=(6, 7))
    assert y.dtype == mixed.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), want, rtol=0.05, atol=0.02)
    assert layer.in_proj_weight.grad is not None


def test_deterministic_mode_and_mask_gradients():
    rows, _ = tensors()
    logits = torch.randn(2, 21, 36, 42, requires_grad=True)
    torch.use_deterministic_algorithms(True)
    try:
        pyseg.masked_attention(*rows, logits, size=SIZE).sum().backward()
    finally:
        torch.use_deterministic_algorithms(False)
    assert logits.grad is None


@pytest.mark.parametrize("bias", [False, True])
def test_the_layer_is_multihead_attention(bias):
    torch.manual_seed(0)
    theirs = torch.nn.MultiheadAttention(64, 4, bias=bias, batch_first=True)
    ours = nn.MaskedCrossAttention(64, 4, bias=bias)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x, memory = torch.randn(2, 9, 64), torch.randn(2, 20 * 24, 64)
    logits = torch.randn(2, 9, 40, 48) - 1.0
    logits[:, 3] = -5
    outside = (F.interpolate(logits, size=(20, 24), mode="bilinear").sigmoid().flatten(2) < 0.5).repeat_interleave(4, 0)
    outside[outside.all(2)] = False
    want = theirs(x, memory, memory, attn_mask=outside)[0]
    torch.testing.assert_close(ours(x, memory, memory, logits, size=(20, 24)), want, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        ours(x, memory, memory, attn_mask=~outside[::4], size=(20, 24)), want, rtol=1e-4, atol=1e-5
    )


def test_the_layer_has_rules():
    with pytest.raises(ValueError, match="empty must be 'all' or 'zero', got 'no'"):
        nn.MaskedCrossAttention(32, 4, empty="no")


def test_a_training_step():
    torch.manual_seed(0)
    layer = nn.MaskedCrossAttention(32, 4)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    x, memory, logits = torch.randn(1, 5, 32), torch.randn(1, 300, 32), torch.randn(1, 5, 30, 40)
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        loss = (layer(x, memory, memory, logits, size=(15, 20)) - 1).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
