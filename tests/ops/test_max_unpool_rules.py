"""What max_pool and max_unpool refuse, in words, and that no index out of range is ever followed."""

import itertools
import os

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import pyseg
from pyseg import _runtime

BAD = [-1, -(2**31), 80, 81, 2**31 - 1, 2**31, 2**32, 2**32 + 3, 2**63 - 1, -(2**63)]


def places(shape=(2, 3, 8, 10), form=torch.contiguous_format):
    x = torch.rand(shape).contiguous(memory_format=form)
    return x, *F.max_pool2d(x, 2, return_indices=True)


@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("value", BAD)
def test_places_out_of_range(value, form):
    _, y, at = places(form=form)
    at[1, 2, 3, 4] = value
    kinds = [at] if abs(value) >= 2**31 else [at, at.int()]
    for indices, size in itertools.product(kinds, (None, (8, 10))):
        with pytest.raises(IndexError, match=r"max_unpool2d: an index must be 0 \.\. 79, got -?\d+"):
            pyseg.max_unpool2d(y, indices, 2, output_size=size)
        with pytest.raises(IndexError, match="max_unpool2d: an index must be"):
            pyseg.max_unpool2d(y.numpy(), indices.numpy(), 2, output_size=size)


@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("value", [4, 77, 255])
def test_taps_out_of_range(value, form):
    x, y, _ = places(form=form)
    indices = pyseg.max_pool2d(x, 2)[1]
    indices.codes[1, 2, 3, 4] = value
    with pytest.raises(IndexError, match=rf"max_unpool2d: an index must be 0 \.\. 3, got {value}"):
        pyseg.max_unpool2d(y, indices)


@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("kind", ["uint8", "int64"])
@pytest.mark.parametrize("overlap", [False, True])
def test_out_of_range_in_gradients(kind, form, overlap):
    x, _, _ = places(form=form)
    w = (3, 2) if overlap else (2, 2)
    bad = 77 if kind == "uint8" else 2**32 + 3
    x.requires_grad_()
    y, indices = pyseg.max_pool2d(x, *w, indices=kind)
    source = y.detach().clone().requires_grad_()
    back = pyseg.max_unpool2d(source, indices, *w, output_size=(8, 10))
    codes = indices.codes if kind == "uint8" else indices
    version = codes._version
    codes.data[0, 0, 0, 0] = bad  # behind autograd's back
    assert codes._version == version
    with pytest.raises(IndexError, match="max_unpool: an index must be"):
        back.sum().backward()
    with pytest.raises(IndexError, match="max_unpool: an index must be"):
        y.sum().backward()


def test_nothing_is_written_outside():
    """The result lies within a larger array, whose rest stays as it is."""
    x, y, at = places()
    for value in (*BAD, 79):
        at[1, 2, 3, 4] = value
        for form in (torch.contiguous_format, torch.channels_last):
            storage = torch.full((3 * x.numel(),), 7.0)
            out = storage[x.numel() : 2 * x.numel()].view(2, 3, 8, 10)
            if form is torch.channels_last:
                out = storage[x.numel() : 2 * x.numel()].view(2, 8, 10, 3).permute(0, 3, 1, 2)
            try:
                pyseg.max_unpool2d(y.contiguous(memory_format=form), at, 2, output_size=(8, 10), out=out)
            except IndexError:
                assert value != 79
            assert (storage[: x.numel()] == 7).all()
            assert (storage[2 * x.numel() :] == 7).all()


def test_taps_beside_the_image():
    """Windows reach into padding, or beyond the end: those taps exist, and may not be written to."""
    x = torch.rand(1, 2, 7, 9)
    for form in (torch.contiguous_format, torch.channels_last):
        y, indices = pyseg.max_pool2d(x.contiguous(memory_format=form), 3, 2, 1)
        indices.codes[0, 1, 0, 2] = 1  # of the row above
        with pytest.raises(IndexError, match="an index must be of a pixel in the image"):
            pyseg.max_unpool2d(y, indices)
        y, indices = pyseg.max_pool2d(x.contiguous(memory_format=form), 2, 2, ceil_mode=True)
        indices.codes[0, 1, 1, 4] = 1  # of the column beyond
        with pytest.raises(IndexError, match="an index must be of a pixel in the image"):
            pyseg.max_unpool2d(y, indices)
        y, indices = pyseg.max_pool2d(x.contiguous(memory_format=form), 2, 2, ceil_mode=True)
        indices.codes[0, 1, 3, 1] = 2  # of the row below
        with pytest.raises(IndexError, match="an index must be of a pixel in the image"):
            pyseg.max_unpool2d(y, indices)


def test_the_size_comes_from_the_indices():
    for height, width in itertools.product((8, 9), (10, 11)):
        x = torch.rand(2, 3, height, width)
        y, indices = pyseg.max_pool2d(x, 2)
        back = pyseg.max_unpool2d(y, indices)
        assert back.shape == x.shape
        assert torch.equal(back[back != 0], x[back != 0])
        _, at = pyseg.max_pool2d(x, 2, indices="int64")
        if width == 10:  # rows are as long as torch believes
            assert pyseg.max_unpool2d(y, at, 2).shape[2:] == (8, 10)
        else:
            with pytest.raises(ValueError, match=r"lies outside its window .* Give output_size"):
                pyseg.max_unpool2d(y, at, 2)
        assert torch.equal(pyseg.max_unpool2d(y, at, 2, output_size=x.shape), back)
        with pytest.raises(ValueError, match="output_size must be the size that was pooled"):
            pyseg.max_unpool2d(y, indices, output_size=(height + 1, width))


@pytest.mark.parametrize("window", [(2, 2, 0), (3, 2, 1), (3, 3, 0), (2, 1, 1)])
def test_output_sizes_are_torchs(window):
    y = torch.rand(1, 1, 3, 4)
    at = torch.zeros(1, 1, 3, 4, dtype=torch.int64)
    for height, width in itertools.product(range(1, 14), range(1, 17)):
        try:
            expected = F.max_unpool2d(y, at, *window, output_size=(height, width)).shape
        except (ValueError, RuntimeError):
            with pytest.raises(ValueError, match="max_unpool2d: output_size"):
                pyseg.max_unpool2d(y, at, *window, output_size=(height, width))
        else:
            assert pyseg.max_unpool2d(y, at, *window, output_size=(height, width)).shape == expected


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_pooled_sizes_are_torchs(ceil_mode):
    for kernel, stride, padding, dilation in itertools.product((1, 2, 3, 5), (1, 2, 3), (0, 1, 2), (1, 2)):
        for n in range(1, 14):
            x = torch.rand(1, 1, n)
            try:
                expected = F.max_pool1d(x, kernel, stride, padding, dilation, ceil_mode, True)[1]
            except RuntimeError:
                with pytest.raises(ValueError, match="max_pool1d: "):
                    pyseg.max_pool1d(x, kernel, stride, padding, dilation, ceil_mode)
                continue
            if int(expected.max()) >= n or int(expected.min()) < 0:  # torch's index of a window without a pixel
                with pytest.raises(ValueError, match=r"max_pool1d: window .* holds no pixel"):
                    pyseg.max_pool1d(x, kernel, stride, padding, dilation, ceil_mode)
            else:
                mine = pyseg.max_pool1d(x, kernel, stride, padding, dilation, ceil_mode, "int64")[1]
                assert torch.equal(mine, expected)


X = torch.rand(2, 3, 8, 10)
Y, I = pyseg.max_pool2d(X, 2)  # noqa: E741
AT = pyseg.max_pool2d(X, 2, indices="int64")[1]
REFUSED = {
    "kernel 0": (ValueError, lambda: pyseg.max_pool2d(X, 0)),
    "kernel of three": (ValueError, lambda: pyseg.max_pool2d(X, (2, 2, 2))),
    "kernel 2.0": (TypeError, lambda: pyseg.max_pool2d(X, 2.0)),
    "kernel too large": (ValueError, lambda: pyseg.max_pool2d(X, 11)),
    "kernel 10^30": (ValueError, lambda: pyseg.max_pool2d(X, 10**30)),
    "stride 0": (ValueError, lambda: pyseg.max_pool2d(X, 2, 0)),
    "padding -1": (ValueError, lambda: pyseg.max_pool2d(X, 2, 2, -1)),
    "padding 2": (ValueError, lambda: pyseg.max_pool2d(X, 2, 2, 2)),
    "dilation 0": (ValueError, lambda: pyseg.max_pool2d(X, 2, 2, 0, 0)),
    "ceil_mode 2": (TypeError, lambda: pyseg.max_pool2d(X, 2, ceil_mode=2)),
    "indices int16": (ValueError, lambda: pyseg.max_pool2d(X, 2, indices="int16")),
    "257 taps": (ValueError, lambda: pyseg.max_pool2d(torch.rand(1, 1, 20, 300), (1, 257))),
    "two axes": (ValueError, lambda: pyseg.max_pool2d(X[0, 0], 2)),
    "five axes": (ValueError, lambda: pyseg.max_pool2d(X[None], 2)),
    "integers": (TypeError, lambda: pyseg.max_pool2d(X.int(), 2)),
    "complex": (TypeError, lambda: pyseg.max_pool2d(X.cfloat(), 2)),
    "sparse": (TypeError, lambda: pyseg.max_pool2d(X.to_sparse(), 2)),
    "meta": (TypeError, lambda: pyseg.max_pool2d(X.to("meta"), 2)),
    "no height": (ValueError, lambda: pyseg.max_pool2d(X[:, :, :0], 2)),
    "NumPy integers": (TypeError, lambda: pyseg.max_pool2d(np.zeros((1, 1, 4, 4), int), 2)),
    "a list": (TypeError, lambda: pyseg.max_pool2d([[1.0]], 2)),
    "indices of floats": (TypeError, lambda: pyseg.max_unpool2d(Y, Y, 2)),
    "indices of int16": (TypeError, lambda: pyseg.max_unpool2d(Y, AT.short(), 2)),
    "indices None": (TypeError, lambda: pyseg.max_unpool2d(Y, None, 2)),
    "indices of another shape": (ValueError, lambda: pyseg.max_unpool2d(Y, AT[:1], 2)),
    "NumPy indices": (TypeError, lambda: pyseg.max_unpool2d(Y, AT.numpy(), 2)),
    "no kernel": (ValueError, lambda: pyseg.max_unpool2d(Y, AT)),
    "no kernel for codes": (ValueError, lambda: pyseg.max_unpool2d(Y, I.codes)),
    "no kernel for codes with a size": (ValueError, lambda: pyseg.max_unpool2d(Y, I.codes, output_size=(8, 10))),
    "another kernel": (ValueError, lambda: pyseg.max_unpool2d(Y, I, 3)),
    "another stride": (ValueError, lambda: pyseg.max_unpool2d(Y, I, 2, 1)),
    "indices of two axes": (ValueError, lambda: pyseg.max_unpool1d(Y[0], I._replace(codes=I.codes[0]))),
    "output_size 8": (TypeError, lambda: pyseg.max_unpool2d(Y, AT, 2, output_size=8)),
    "output_size of one": (ValueError, lambda: pyseg.max_unpool2d(Y, AT, 2, output_size=(8,))),
    "output_size too large": (ValueError, lambda: pyseg.max_unpool2d(Y, AT, 2, output_size=(10, 10))),
    "output_size too small": (ValueError, lambda: pyseg.max_unpool2d(Y, AT, 2, output_size=(6, 10))),
    "output_size too small for codes": (ValueError, lambda: pyseg.max_unpool2d(Y, I.codes, 2, output_size=(6, 9))),
    "out of another shape": (ValueError, lambda: pyseg.max_unpool2d(Y, I, out=X[:1])),
    "out of another dtype": (ValueError, lambda: pyseg.max_unpool2d(Y, I, out=X.double())),
    "out of another kind": (ValueError, lambda: pyseg.max_unpool2d(Y, I, out=X.numpy())),
    "out of zero strides": (ValueError, lambda: pyseg.max_unpool2d(Y, I, out=torch.zeros(1).expand(X.shape))),
    "out with gradients": (ValueError, lambda: pyseg.max_unpool2d(Y.clone().requires_grad_(), I, out=X.clone())),
    "scale of two": (ValueError, lambda: pyseg.max_unpool2d(Y, I, scale=torch.ones(2))),
    "shift of no axis": (ValueError, lambda: pyseg.max_unpool2d(Y, I, shift=torch.tensor(2.0))),
    "activation": (ValueError, lambda: pyseg.max_unpool2d(Y, I, activation="gelu")),
    "module's kernel": (ValueError, lambda: pyseg.nn.MaxPool2d(0)),
    "module's indices": (ValueError, lambda: pyseg.nn.MaxPool2d(2, indices="int8")),
    "read-only out": (
        ValueError,
        lambda: pyseg.max_unpool2d(Y.numpy(), AT.numpy(), 2, out=np.broadcast_to(np.float32(0), (2, 3, 8, 10))),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_words(name):
    error, call = REFUSED[name]
    with pytest.raises(error, match=r"(?i)max_?(un)?pool[123]d: .+"):
        call()


def test_out_may_not_be_the_input():
    storage = torch.rand(2 * X.numel())
    y = storage[: Y.numel()].view(Y.shape).copy_(Y)
    with pytest.raises(ValueError, match="max_unpool2d: out must not share memory"):
        pyseg.max_unpool2d(y, I, out=storage[: X.numel()].view(X.shape))
    array = storage.numpy()
    with pytest.raises(ValueError, match="max_unpool2d: out must not share memory"):
        pyseg.max_unpool2d(
            array[: Y.numel()].reshape(Y.shape), I.codes.numpy(), 2, out=array[: X.numel()].reshape(X.shape)
        )


def test_the_libraries_check_for_themselves():
    ops, native = _runtime.torch_ops(), _runtime.native()
    w = [2, 2, 2, 2, 0, 0, 1, 1]
    for call in (
        lambda: ops.max_pool(X, w[:4], False, 0, False),
        lambda: ops.max_pool(X, [0, *w[1:]], False, 0, False),
        lambda: ops.max_pool(X, [2**62] * 8, False, 0, False),
        lambda: ops.max_pool(X[0], w, False, 0, False),
        lambda: ops.max_pool(X, w, False, 3, False),
        lambda: ops.max_pool(X.int(), w, False, 0, False),
        lambda: ops.max_gather(X, I.codes[:1], w, False),
        lambda: ops.max_gather(X, I.codes.float(), w, False),
        lambda: ops.max_gather(X[:, :, :4], I.codes, w, False),
        lambda: ops.max_spread(Y, I.codes, w, [8], False, False, None, None, False, False),
        lambda: ops.max_spread(Y, I.codes, w, [-8, 10], False, False, None, None, False, False),
        lambda: ops.max_spread(Y, I.codes, w, [2**60, 2**60], False, False, None, None, False, False),
        lambda: ops.max_spread(Y, I.codes, w, [8, 3], False, False, None, None, False, False),
        lambda: ops.max_spread(Y, I.codes, w, [8, 10], False, False, torch.ones(3), None, False, False),
        lambda: ops.max_spread_out(X[:1], Y, I.codes, w, [8, 10], False, None, None, False, False),
        lambda: ops.max_spread_out(X.clone(), Y, I.codes, w, [8, 10], False, None, None, False, True),
    ):
        with pytest.raises((ValueError, RuntimeError), match=r"max_(un)?pool: "):
            call()
    x, y = X.numpy()[:, :, None], Y.numpy()[:, :, None]
    w = [1, 2, 2, 1, 2, 2, 0, 0, 0, 1, 1, 1]
    for call in (
        lambda: native.max_pool(x[0], w, False, 0),
        lambda: native.max_pool(x[..., ::2], w, False, 0),
        lambda: native.max_pool(x, [0] * 12, False, 0),
        lambda: native.max_pool(x, w, False, 7),
        lambda: native.max_spread(y, y, w, False, None, None, False, x.copy()),
        lambda: native.max_spread(y, I.codes.numpy()[:, :, None], w, False, None, None, False, x.astype("f8")),
        lambda: native.max_spread(y, I.codes.numpy()[:, :, None], w, False, np.ones(2), None, False, x.copy()),
    ):
        with pytest.raises((ValueError, TypeError), match=r"max_(un)?pool: "):
            call()


def test_more_than_2_to_the_31_elements():
    """One plane of 2^31 + 2^20 values in half precision: places beyond int32, read and written."""
    if os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") < 12 * 2**30:
        pytest.skip("needs 12 GB of free memory")
    n, k = 2**31 + 2**20, 2**20
    x = torch.zeros(1, 1, n, dtype=torch.float16)
    x[0, 0, n - 3] = 5
    y, at = pyseg.max_pool1d(x, k, indices="int64")
    assert y[0, 0, -1] == 5
    assert at[0, 0, -1] == n - 3
    with pytest.raises(ValueError, match="int32 indices need planes of less than"):
        pyseg.max_pool1d(x, k, indices="int32")
    pyseg.max_unpool1d(y + 1, at, k, out=x)
    assert x[0, 0, n - 3] == 6
    assert int((x[0, 0, :: 2**20] == 1).sum()) == 2**11
