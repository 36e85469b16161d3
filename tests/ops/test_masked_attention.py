"""masked_attention and mask_bitmap against their definition, on NumPy arrays and tensors."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import pyseg
from pyseg import reference
from pyseg.reference.masked_attention import mask_of


def unpacked(bits, size):
    """bool [B, Q, H, W] of a bitmap, and that nothing is set beyond it."""
    height, width = size
    bits = np.asarray(bits).view(np.uint16)
    lanes = (bits[..., None] >> np.arange(16, dtype=np.uint16) & 1).astype(bool)
    batch, queries = bits.shape[:2]
    if height == 1:
        whole = lanes.reshape(batch, queries, 1, -1)
    else:
        down, across = -(-height // 16), -(-width // 16)
        grid = lanes.reshape(batch, queries, down, across, 4, 4, 4, 4).transpose(0, 1, 2, 4, 6, 3, 5, 7)
        whole = grid.reshape(batch, queries, down * 16, across * 16)
    assert not whole[:, :, height:].any()
    assert not whole[..., width:].any()
    return whole[:, :, :height, :width]


def rows(batch=2, queries=21, keys=300, channels=64, seed=0):
    generator = np.random.default_rng(seed)
    return tuple(generator.standard_normal((batch, n, channels)).astype(np.float32) for n in (queries, keys, keys))


def mask(batch=2, queries=21, keys=300, density=0.1, seed=1):
    inside = np.random.default_rng(seed).random((batch, queries, keys)) < density
    inside[:, 3 % queries] = False
    inside[:, 4 % queries] = True
    return inside


RESIZES = [
    ((32, 64), (16, 32)),
    ((64, 128), (16, 32)),
    ((64, 128), (8, 16)),
    ((64, 32), (16, 16)),
    ((32, 32), (32, 32)),
    ((17, 23), (9, 40)),
    ((5, 7), (33, 50)),
    ((8, 8), (1, 300)),
    ((48, 96), (16, 32)),
    ((12, 12), (4, 6)),
    ((1, 1), (5, 5)),
    ((40, 52), (20, 13)),
]


@pytest.mark.parametrize(("source", "size"), RESIZES, ids=str)
def test_bits_are_torchs(source, size, isa):
    logits = torch.randn(2, 3, *source, generator=torch.Generator().manual_seed(0))
    resized = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
    ours = unpacked(pyseg.mask_bitmap(logits, size), size)
    away = resized.abs().numpy() > 1e-6
    np.testing.assert_array_equal(ours[away], (resized.sigmoid() >= 0.5).numpy()[away])
    np.testing.assert_array_equal(ours[away], mask_of(logits.numpy(), size)[away])
    assert away.mean() > 0.99


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_bits_of_other_dtypes(dtype):
    logits = torch.randn(1, 4, 32, 48, generator=torch.Generator().manual_seed(0)).to(dtype)
    theirs = F.interpolate(logits, size=(16, 24), mode="bilinear", align_corners=False)
    away = theirs.abs().float().numpy() > 5e-3
    ours = unpacked(pyseg.mask_bitmap(logits, (16, 24)), (16, 24))
    np.testing.assert_array_equal(ours[away], (theirs.sigmoid() >= 0.5).numpy()[away])


def test_zero_is_inside_and_nan_is_not(isa):
    logits = torch.zeros(1, 1, 8, 8)
    assert unpacked(pyseg.mask_bitmap(logits, (4, 4)), (4, 4)).all()
    logits[0, 0, 2, 2] = torch.nan
    inside = unpacked(pyseg.mask_bitmap(logits, (4, 4)), (4, 4))
    assert not inside[0, 0, 1, 1]
    assert inside.sum() == 15


@pytest.mark.parametrize("threshold", [0, 0.1, 0.5, 0.9, 1])
def test_thresholds(threshold):
    logits = np.random.default_rng(0).standard_normal((1, 2, 20, 20)).astype(np.float32) * 3
    for size in ((10, 10), (7, 9)):
        inside = unpacked(pyseg.mask_bitmap(logits, size, threshold=threshold), size)
        np.testing.assert_array_equal(inside, mask_of(logits, size, threshold))


@pytest.mark.parametrize("size", [(15, 20), (1, 300), (300, 1), (4, 75), (20, 15)], ids=str)
@pytest.mark.parametrize(
    ("channels", "heads"), [(64, 2), (32, 2), (128, 2), (128, 1), (24, 2), (96, 2), (7, 1), (40, 8)]
)
def test_is_its_definition(channels, heads, size, isa):
    q, k, v = rows(channels=channels)
    inside = mask()
    want = reference.masked_attention(q, k, v, inside, heads)
    ours = pyseg.masked_attention(q, k, v, attn_mask=inside, size=size, heads=heads)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, want, atol=3e-6)
    np.testing.assert_allclose(
        pyseg.masked_attention(*(x.astype(np.float64) for x in (q, k, v)), attn_mask=inside, size=size, heads=heads),
        want,
        atol=1e-13,
    )


@given(
    st.tuples(*[st.integers(1, n) for n in (3, 40, 40, 40)]),
    st.sampled_from([(1, 1), (2, 5), (3, 16), (2, 32), (1, 80), (1, 130)]),
    st.floats(0, 1),
    st.sampled_from(["all", "zero"]),
    st.integers(0, 2**31),
)
@settings(max_examples=40)
def test_any_shape(shape, head, density, empty, seed):
    batch, queries, height, width = shape
    heads, dim = head
    q, k, v = rows(batch, queries, height * width, heads * dim, seed)
    inside = np.random.default_rng(seed).random((batch, queries, height * width)) < density
    want = reference.masked_attention(q, k, v, inside, heads, empty)
    ours = pyseg.masked_attention(q, k, v, attn_mask=inside, size=(height, width), heads=heads, empty=empty)
    np.testing.assert_allclose(ours, want, atol=1e-5)


def test_logits_are_their_bitmap_and_their_mask():
    q, k, v = rows(keys=16 * 24)
    logits = np.random.default_rng(2).standard_normal((2, 21, 32, 48)).astype(np.float32)
    size = (16, 24)
    ours = pyseg.masked_attention(q, k, v, logits, size=size)
    bits = pyseg.mask_bitmap(logits, size)
    np.testing.assert_array_equal(pyseg.masked_attention(q, k, v, attn_mask=bits, size=size), ours)
    inside = unpacked(bits, size).reshape(2, 21, -1)
    np.testing.assert_array_equal(pyseg.masked_attention(q, k, v, attn_mask=inside, size=size), ours)
    np.testing.assert_array_equal(pyseg.masked_attention(q, k, v, attn_mask=inside[:, None], size=size), ours)
    np.testing.assert_array_equal(pyseg.masked_attention(q, k, v, logits[..., ::2, ::2]).shape, ours.shape)


@pytest.mark.parametrize("empty", ["all", "zero"])
def test_empty_masks(empty, isa):
    q, k, v = rows()
    inside = np.zeros((2, 21, 300), bool)
    inside[0, 5, 17] = True
    ours = pyseg.masked_attention(q, k, v, attn_mask=inside, size=(15, 20), empty=empty)
    np.testing.assert_allclose(ours[0, 5], v[0, 17], atol=1e-6)
    if empty == "zero":
        assert not ours[1].any()
    else:
        everything = pyseg.masked_attention(q, k, v, attn_mask=np.ones_like(inside), size=(15, 20))
        np.testing.assert_array_equal(ours[1], everything[1])


def test_what_is_outside_does_not_count(isa):
    q, k, v = rows()
    inside = mask(density=0.3)
    inside[:, :, ::7] = False
    inside[:, 3, 1] = True
    want = pyseg.masked_attention(q, k, v, attn_mask=inside, size=(15, 20))
    for value in (np.nan, np.inf, -np.inf):
        strange = [x.copy() for x in (k, v)]
        for x in strange:
            x[:, ::7] = value
        np.testing.assert_array_equal(pyseg.masked_attention(q, *strange, attn_mask=inside, size=(15, 20)), want)


def test_nan_stays_in_its_query(isa):
    q, k, v = rows()
    inside = mask()
    want = pyseg.masked_attention(q, k, v, attn_mask=inside, size=(15, 20))
    q[0, 7, 0] = np.nan
    ours = pyseg.masked_attention(q, k, v, attn_mask=inside, size=(15, 20))
    assert np.isnan(ours[0, 7, :8]).all()
    ours[0, 7, :8] = want[0, 7, :8]
    np.testing.assert_array_equal(ours, want)


def test_large_scores_and_infinite_ones(isa):
    q, k, v = rows(1, 4, 40, 16)
    inside = np.ones((1, 4, 40), bool)
    want = reference.masked_attention(q * 1e4, k, v, inside, 1)
    np.testing.assert_allclose(
        pyseg.masked_attention(q * np.float32(1e4), k, v, attn_mask=inside, heads=1), want, atol=1e-2
    )
    k[:, :20] = 0
    k[:, :20, 0] = -np.inf
    q[..., 0] = np.abs(q[..., 0]) + 1
    want = reference.masked_attention(q, k[:, 20:], v[:, 20:], inside[..., 20:], 1)
    np.testing.assert_allclose(pyseg.masked_attention(q, k, v, attn_mask=inside, heads=1), want, atol=1e-6)


def test_threads_and_arrays_and_isas_do_not_show(set_isa):
    q, k, v = rows(1, 70, 37 * 41, 256)
    inside = mask(1, 70, 37 * 41)
    results = []
    for name in ("avx2", "avx512", ""):
        set_isa(name)
        for threads in (1, 2, 3, 16):
            pyseg.set_num_threads(threads)
            torch.set_num_threads(threads)
            results.append(pyseg.masked_attention(q, k, v, attn_mask=inside, size=(37, 41)))
            tensors = [torch.from_numpy(x) for x in (q, k, v, inside)]
            results.append(pyseg.masked_attention(*tensors[:3], attn_mask=tensors[3], size=(37, 41)).numpy())
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_strides_and_inputs(unchanged):
    q, k, v = rows()
    inside = mask()
    unchanged(q, k, v, inside)
    want = pyseg.masked_attention(q, k, v, attn_mask=inside, size=(15, 20))
    fortran = [np.asfortranarray(x) for x in (q, k, v, inside)]
    np.testing.assert_array_equal(pyseg.masked_attention(*fortran[:3], attn_mask=fortran[3], size=(15, 20)), want)
    reverse = [x[::-1, ::-1] for x in (q, k, v)]
    again = pyseg.masked_attention(*(np.ascontiguousarray(x) for x in reverse), attn_mask=inside[::-1, ::-1, ::-1])
    np.testing.assert_array_equal(pyseg.masked_attention(*reverse, attn_mask=inside[::-1, ::-1, ::-1]), again)
    both = torch.from_numpy(np.concatenate([k, v], 2))
    tensors = torch.from_numpy(q), both[..., :64], both[..., 64:]
    ours = pyseg.masked_attention(*tensors, attn_mask=torch.from_numpy(inside), size=(15, 20))
    np.testing.assert_array_equal(ours.numpy(), want)


@pytest.mark.parametrize("shape", [(0, 3, 4, 5), (2, 0, 4, 5), (2, 3, 0, 5), (2, 3, 4, 0), (2, 3, 1, 0)])
def test_empty_arrays(shape):
    batch, queries, height, width = shape
    q, k, v = rows(batch, queries, height * width, 16)
    inside = np.ones((batch, queries, height * width), bool)
    ours = pyseg.masked_attention(q, k, v, attn_mask=inside, size=(height, width))
    assert ours.shape == q.shape
    assert not ours.any()
