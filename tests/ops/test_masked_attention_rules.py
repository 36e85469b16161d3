"""masked_attention: an error says the rule and the value, with checks in Python and without."""

import numpy as np
import pytest
import torch

import pyseg
from pyseg import _runtime


def zeros(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


GOOD = {
    "q": zeros(2, 3, 16),
    "k": zeros(2, 20, 16),
    "v": zeros(2, 20, 16),
    "mask_logits": zeros(2, 3, 8, 10),
    "size": (4, 5),
}
BAD = [
    ({"q": zeros(2, 3)}, ValueError, r"q must be \[B, Q, D\], got \[2, 3\]"),
    ({"k": zeros(2, 20, 8)}, ValueError, r"k must be \[2, S, 16\] with B and D as in q, got \[2, 20, 8\]"),
    ({"k": zeros(1, 20, 16)}, ValueError, r"k must be \[2, S, 16\]"),
    ({"v": zeros(2, 19, 16)}, ValueError, r"v must be of k's shape, \[2, 20, 16\], got \[2, 19, 16\]"),
    ({"heads": 3}, ValueError, r"heads must divide D = 16, .* got 3"),
    ({"heads": 0}, ValueError, r"heads must be .*, got 0"),
    ({"heads": 1.0}, TypeError, r"heads must be an integer"),
    ({"size": (4, 6)}, ValueError, r"as many pixels as k has rows, 20, got 4 x 6"),
    ({"size": 4}, TypeError, r"size must be \(height, width\), got 4"),
    ({"size": (4, 5, 1)}, ValueError, r"size must be \(height, width\), got 3 values"),
    ({"size": (-4, -5)}, ValueError, r"size must be .*, got -4"),
    ({"size": None}, ValueError, r"h x w = 20"),
    ({"threshold": 1.5}, ValueError, r"threshold must be 0 .. 1, got 1.5"),
    ({"threshold": float("nan")}, ValueError, r"threshold must be a number, got nan"),
    ({"empty": "none"}, ValueError, r"empty must be 'all' or 'zero', got 'none'"),
    ({"mask_logits": None}, ValueError, r"either mask_logits or attn_mask"),
    ({"attn_mask": zeros(2, 3, 20, dtype=bool)}, ValueError, r"either mask_logits or attn_mask"),
    ({"mask_logits": zeros(2, 4, 8, 10)}, ValueError, r"mask_logits must be \[2, 3, h, w\]"),
    ({"mask_logits": zeros(2, 3, 0, 10)}, ValueError, r"at least one pixel"),
    ({"mask_logits": zeros(2, 3, 8, 10, dtype=np.int32)}, TypeError, r"mask_logits must be float16.*got int32"),
    ({"mask_logits": None, "attn_mask": zeros(2, 3, 21, dtype=bool)}, ValueError, r"attn_mask must be \[2, 3, 20\]"),
    ({"mask_logits": None, "attn_mask": zeros(2, 3, 20)}, TypeError, r"attn_mask must be bool"),
    ({"mask_logits": None, "attn_mask": zeros(2, 3, 2, 16, dtype=np.int16)}, ValueError, r"mask_bitmap's of this size"),
    ({"q": zeros(2, 3, 16, dtype=np.int64)}, TypeError, r"q must be float16.*got int64"),
    ({"q": zeros(2, 3, 16, dtype=np.float64)}, TypeError, r"of one dtype"),
    ({"q": torch.zeros(2, 3, 16)}, TypeError, r"all tensors, or none"),
    ({"q": [[[1.0]]]}, TypeError, r"q must be an array, got list"),
]


@pytest.mark.parametrize(("change", "error", "text"), BAD, ids=range(len(BAD)))
def test_rules(change, error, text):
    arguments = GOOD | change
    with pytest.raises(error, match=text):
        pyseg.masked_attention(arguments.pop("q"), arguments.pop("k"), arguments.pop("v"), **arguments)


def test_the_good_one_is_good():
    assert pyseg.masked_attention(**GOOD).shape == (2, 3, 16)


@pytest.mark.parametrize("make", [lambda x: x.to_sparse(), lambda x: x.to("meta")], ids=["sparse", "meta"])
def test_tensors_without_values(make):
    tensors = [torch.from_numpy(GOOD[name]) for name in ("q", "k", "v")]
    with pytest.raises(TypeError, match="must be a dense tensor with values"):
        pyseg.masked_attention(*map(make, tensors), mask_logits=torch.zeros(2, 3, 8, 10), size=(4, 5))
    with pytest.raises(TypeError, match="mask_logits must be a dense tensor with values"):
        pyseg.mask_bitmap(make(torch.zeros(2, 3, 8, 10)), (4, 5))


def test_bitmaps_have_rules():
    for arguments, error in (
        ((zeros(2, 3, 8), (4, 5)), ValueError),
        ((zeros(2, 3, 8, 8), (4,)), ValueError),
        ((zeros(2, 3, 8, 8), "45"), TypeError),
        ((zeros(2, 3, 8, 8), (2**31, 1)), ValueError),
        ((zeros(2, 3, 8, 8), (2**30, 2**30)), ValueError),
        ((zeros(2, 3, 0, 8), (4, 5)), ValueError),
        ((zeros(2, 3, 8, 8, dtype=np.uint8), (4, 5)), TypeError),
    ):
        with pytest.raises(error, match="mask_bitmap"):
            pyseg.mask_bitmap(*arguments)


def test_cpp_checks_what_memory_needs():
    ops, native = _runtime.torch_ops(), _runtime.native()
    q, k, bits = torch.zeros(2, 3, 16), torch.zeros(2, 20, 16), torch.zeros(2, 3, 1, 16, dtype=torch.int16)
    good = [q, k, k, bits, 4, 5, 8, True]
    ops.masked_attention(*good)
    for place, value in (
        (0, q[0]),
        (0, q.half()),
        (1, k[:, 1:]),
        (2, k[:1]),
        (3, bits[:, :2]),
        (3, bits.int()),
        (3, bits[..., :8]),
        (4, 5),
        (4, -4),
        (5, 2**40),
        (6, 0),
        (6, 3),
        (6, -1),
    ):
        arguments = list(good)
        arguments[place] = value
        with pytest.raises((RuntimeError, ValueError, TypeError)):
            ops.masked_attention(*arguments)
        if isinstance(value, int):
            plain = [a.numpy() if isinstance(a, torch.Tensor) else a for a in arguments]
            with pytest.raises(ValueError, match="masked_attention"):
                native.masked_attention(*plain)
    out, lse = ops.masked_attention(*good)
    for grad, lse_ in ((q[:1], lse), (q.double(), lse), (q, lse[:, :1]), (q, lse.double())):
        with pytest.raises((RuntimeError, ValueError, TypeError)):
            ops.masked_attention_backward(grad, *good[:4], out, lse_, *good[4:])


def test_stray_bits_of_a_bitmap_touch_nothing():
    """Bits beyond the last pixel, which mask_bitmap never sets."""
    q, k = torch.randn(1, 3, 16), torch.randn(1, 15, 16)
    bits = torch.full((1, 3, 1, 16), -1, dtype=torch.int16)
    for dtype in (torch.float32, torch.float64):
        rows = [x.to(dtype, copy=True).requires_grad_() for x in (q, k, k)]
        pyseg.masked_attention(*rows, attn_mask=bits, size=(3, 5), heads=2).sum().backward()
        assert all(x.grad is not None and x.grad.isfinite().all() for x in rows)
