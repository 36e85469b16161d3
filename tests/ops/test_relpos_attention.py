"""relpos_attention against its definition and against torch: sizes, dtypes, instruction sets, threads, layouts."""

import functools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from relpos_peers import eager, problem, relative

import pyseg
from pyseg import reference

# Sizes: windows, more than one block of keys and queries, rows that are cut by blocks, single rows and columns.
SIZES = [(14, 14), (16, 16), (20, 23), (1, 1), (1, 300), (300, 1), (3, 5), (15, 17), (2, 200), (31, 13)]


def definition(tensors, size, **options):
    """In float64."""
    arrays = [t.detach().double().numpy() for t in tensors]
    return torch.from_numpy(reference.relpos_attention(*arrays, size, **options))


@functools.cache
def defined(size, channels):
    tensors = problem(size, 2, 2, channels)
    return tensors, definition(tensors, size)


def packed(q, k, v):
    return torch.stack([t.transpose(1, 2) for t in (q, k, v)], 2)


@pytest.mark.parametrize("channels", [64, 80, 5])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_against_the_definition(size, channels, isa):
    tensors, want = defined(size, channels)
    with torch.no_grad():
        ours = pyseg.relpos_attention(*tensors, size)
        assert relative(ours, want) <= max(2 * relative(eager(*tensors, size), want), 2e-7)
        assert torch.equal(pyseg.relpos_attention_qkv(packed(*tensors[:3]), *tensors[3:], size), ours.transpose(1, 2))
    arrays = [t.detach().numpy() for t in tensors]
    np.testing.assert_array_equal(pyseg.relpos_attention(*arrays, size), ours.numpy())
    triple = np.stack([x.transpose(0, 2, 1, 3) for x in arrays[:3]], 2)
    np.testing.assert_array_equal(pyseg.relpos_attention_qkv(triple, *arrays[3:], size), ours.transpose(1, 2).numpy())


def test_sams_own_size():
    """Twelve blocks and more in either direction."""
    size = (64, 64)
    tensors = problem(size, 1, 1)
    with torch.no_grad():
        want = eager(*(t.double() for t in tensors), size)
        ours, theirs = pyseg.relpos_attention(*tensors, size), eager(*tensors, size)
    assert relative(ours, want) <= 2 * relative(theirs, want)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [(14, 14), (20, 23)], ids=str)
def test_half_precision_is_rounded_once(size, dtype, isa):
    tensors = problem(size, dtype=dtype)
    want = definition(tensors, size)
    with torch.no_grad():
        ours = pyseg.relpos_attention(*tensors, size)
        theirs = eager(*tensors, size)
    assert ours.dtype == dtype
    assert relative(ours, want) <= 2 * relative(theirs, want)
    assert relative(ours, want) <= 1.05 * relative(want.to(dtype), want)
    if dtype == torch.float16:
        arrays = [t.detach().numpy() for t in tensors]
        np.testing.assert_array_equal(pyseg.relpos_attention(*arrays, size), ours.numpy())


@pytest.mark.parametrize("size", [(14, 14), (3, 5)], ids=str)
def test_float64(size):
    tensors = problem(size, channels=7, dtype=torch.float64)
    want = definition(tensors, size)
    with torch.no_grad():
        ours = pyseg.relpos_attention(*tensors, size)
    assert relative(ours, want) < 1e-14
    arrays = [t.detach().numpy() for t in tensors]
    np.testing.assert_array_equal(pyseg.relpos_attention(*arrays, size), ours.numpy())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("lengths", [(27, 27), (1, 60), (9, 31), (2, 3)], ids=str)
def test_tables_of_other_lengths_are_interpolated(lengths, dtype):
    size = (9, 16)
    tensors = problem(size, channels=16, dtype=dtype, lengths=lengths)
    want = definition(tensors, size)
    bound = 2e-6 if dtype == torch.float32 else 1e-14
    with torch.no_grad():
        assert relative(eager(*(t.double() for t in tensors), size), want) < 1e-14
        assert relative(pyseg.relpos_attention(*tensors, size), want) < bound
    arrays = [t.detach().numpy() for t in tensors]
    assert relative(torch.from_numpy(pyseg.relpos_attention(*arrays, size)), want) < bound


@pytest.mark.parametrize("scale", [1.0, 0.0, -0.3])
def test_the_scale_is_not_that_of_the_biases(scale):
    tensors = problem((5, 6), channels=8)
    want = definition(tensors, (5, 6), scale=scale)
    assert relative(pyseg.relpos_attention(*tensors, (5, 6), scale=scale).detach(), want) < 1e-6


@pytest.mark.parametrize("size", [(14, 14), (20, 23)], ids=str)
def test_bits_are_those_of_one_thread_and_of_avx2(size, set_isa):
    tensors = problem(size, channels=80)
    cotangent = torch.randn(2, 3, size[0] * size[1], 80, generator=torch.Generator().manual_seed(1))
    found = []
    for name in ("avx2", "avx512", ""):
        set_isa(name)
        for threads in (1, 2, 3, 7):
            torch.set_num_threads(threads)
            pyseg.set_num_threads(threads)
            out = pyseg.relpos_attention(*tensors, size)
            found.append([out.detach(), *torch.autograd.grad(out, tensors, cotangent)])
            array = pyseg.relpos_attention(*(t.detach().numpy() for t in tensors), size)
            np.testing.assert_array_equal(array, out.detach().numpy())
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_any_strides_and_inputs_stay_as_they_are():
    size = (6, 7)
    q, k, v, rel_h, rel_w = (t.detach() for t in problem(size, channels=10))
    want = pyseg.relpos_attention(q, k, v, rel_h, rel_w, size)
    strange = [
        q.transpose(1, 2).contiguous().transpose(1, 2),
        k.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0),
        torch.stack([v, -v], -1)[..., 0],
    ]
    tables = [rel_h.T.contiguous().T, torch.cat([rel_w, rel_w], 1)[:, :10]]
    before = [t.clone() for t in (*strange, *tables)]
    assert torch.equal(pyseg.relpos_attention(*strange, *tables, size), want)
    arrays = [t.numpy() for t in (*strange, *tables)]
    np.testing.assert_array_equal(pyseg.relpos_attention(*arrays, size), want.numpy())
    flipped = pyseg.relpos_attention(arrays[0][:, ::-1], *(x[:, ::-1] for x in arrays[1:3]), *arrays[3:], size)
    np.testing.assert_array_equal(flipped[:, ::-1], want.numpy())
    assert all(torch.equal(a, b) for a, b in zip(before, (*strange, *tables), strict=True))
    one = q[:1, :1].expand(2, 3, -1, -1)
    assert torch.equal(
        pyseg.relpos_attention(one, k, v, rel_h, rel_w, size),
        pyseg.relpos_attention(one.contiguous(), k, v, rel_h, rel_w, size),
    )


@pytest.mark.parametrize("shape", [(0, 3, 6, 4), (2, 0, 6, 4)])
def test_empty_batches(shape):
    q = torch.zeros(shape, requires_grad=True)
    tables = [torch.randn(n, 4, requires_grad=True) for n in (3, 5)]
    out = pyseg.relpos_attention(q, q, q, *tables, (2, 3))
    assert out.shape == shape
    grads = torch.autograd.grad(out.sum(), [q, *tables])
    assert not any(g.any() for g in grads)
    array = np.zeros(shape, np.float32)
    assert pyseg.relpos_attention(array, array, array, *(t.detach().numpy() for t in tables), (2, 3)).shape == shape


def test_large_scores_small_scores_and_no_numbers(isa):
    size = (14, 14)
    tensors = [t.detach() for t in problem(size, 1, 1)]
    steep = [tensors[0] * 300, *tensors[1:]]  # one key takes all
    assert relative(pyseg.relpos_attention(*steep, size), definition(steep, size)) < 1e-3
    flat = [tensors[0] * 1e-30, *tensors[1:]]
    assert relative(pyseg.relpos_attention(*flat, size), definition(flat, size)) < 1e-6
    far = [tensors[0], tensors[1] * 1e-3, *tensors[2:]]
    far[3] = far[3] + 1e3 * torch.ones_like(far[3])  # the same for all keys, and large
    assert pyseg.relpos_attention(*far, size).isfinite().all()
    tensors[0][0, 0, 17, 3] = float("nan")
    out = pyseg.relpos_attention(*tensors, size)
    assert out[0, 0, 17].isnan().all()
    assert not torch.cat([out[0, 0, :17], out[0, 0, 18:]]).isnan().any()


@settings(max_examples=60)
@given(st.data())
def test_any_size(data):
    size = data.draw(st.tuples(st.integers(1, 24), st.integers(1, 24)))
    batch, heads, channels = (data.draw(st.integers(1, n)) for n in (3, 3, 100))
    seed = data.draw(st.integers(0, 1000))
    tensors = problem(size, batch, heads, channels, seed=seed)
    doubles = [t.detach().double().requires_grad_() for t in tensors]
    results = [f(*x, size) for f, x in ((eager, doubles), (pyseg.relpos_attention, tensors), (eager, tensors))]
    cotangent = torch.randn(results[0].shape, generator=torch.Generator().manual_seed(seed))
    pairs = [
        [r.detach(), *torch.autograd.grad(r, x, cotangent.to(r.dtype))]
        for r, x in zip(results, (doubles, tensors, tensors), strict=True)
    ]
    weight = pairs[0][3].norm() + pairs[0][4].norm() + pairs[0][1].norm()  # what is zero by its nature has no digits
    if 1 in size:  # some gradients are zero by their nature, and what is left of them are roundings of this
        weight += 0.25 * tensors[0].norm() * (cotangent * tensors[2]).abs().sum(-1).norm()
    for want, ours, theirs in zip(*pairs, strict=True):
        floor = 1e-6 * (want.norm() + weight)
        assert (ours - want).norm() <= torch.maximum(2 * (theirs - want).norm(), floor.detach())
