"""felzenszwalb as a torch op: opcheck, fake tensors, compilation, export, layouts."""

import numpy as np
import pytest
import samples
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import pyseg
from pyseg import _runtime

DTYPES = ["uint8", "uint16", "float16", "float32", "float64"]


def batch(dtype="uint8", channels=3, shape=(40, 52)):
    images = [samples.image(kind, shape, channels, dtype) for kind in ("photo", "cells")]
    return torch.from_numpy(np.stack(images)).movedim(-1, 1)


@pytest.fixture
def op():
    return _runtime.torch_ops().felzenszwalb.default


LAYOUTS = {
    "channels_last": lambda x: x,
    "contiguous": lambda x: x.contiguous(),
    "a view": lambda x: x[:, :, ::2, 1:],
    "expanded": lambda x: x[:1].expand(3, -1, -1, -1),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_opcheck(op, dtype, layout):
    torch.library.opcheck(op, (LAYOUTS[layout](batch(dtype)), 10.0, 0.8, 20, 0))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_batch_is_its_images(op, dtype, layout):
    images = LAYOUTS[layout](batch(dtype))
    labels, count = op(images, 10.0, 0.5, 20, 1)
    assert labels.dtype == torch.int32
    assert count.dtype == torch.int64
    options = {"scale": 10.0, "sigma": 0.5, "min_size": 20, "start_label": 1, "channel_axis": 0}
    for image, mine, n in zip(images, labels, count, strict=True):
        assert torch.equal(pyseg.felzenszwalb(image, **options), mine)
        assert n == mine.max()
        np.testing.assert_array_equal(pyseg.felzenszwalb(image.numpy(), **options), mine.numpy())


def test_a_batch_of_none(op):
    labels, count = op(torch.zeros(0, 3, 5, 6), 1.0, 0.8, 20, 0)
    assert tuple(labels.shape) == (0, 5, 6)
    assert tuple(count.shape) == (0,)


def test_grey_tensors_and_channel_axes():
    image = batch("float32")[0]
    expected = pyseg.felzenszwalb(image, channel_axis=0)
    assert torch.equal(pyseg.felzenszwalb(image.movedim(0, -1)), expected)
    assert torch.equal(pyseg.felzenszwalb(image.movedim(0, 1), channel_axis=1), expected)
    assert torch.equal(pyseg.felzenszwalb(image[0]), pyseg.felzenszwalb(image[:1], channel_axis=0))


def test_bfloat16_is_its_float32():
    image = batch("float32")[0].bfloat16()
    labels = pyseg.felzenszwalb(image, channel_axis=0)
    assert torch.equal(labels, pyseg.felzenszwalb(image.float(), channel_axis=0))


def test_an_image_that_requires_gradients_gives_labels_without():
    image = batch("float32")[0].clone().requires_grad_()
    assert not pyseg.felzenszwalb(image, channel_axis=0).requires_grad


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_whole(dynamic):
    def segment(x):
        return pyseg.felzenszwalb(x, 10.0, channel_axis=0) + 1

    compiled = torch.compile(segment, fullgraph=True, dynamic=dynamic)
    for image in (batch()[0], batch()[0, :, :30, :30]):
        assert torch.equal(compiled(image), segment(image))


@pytest.mark.parametrize("options", [{}, {"sigma": 0}, {"min_size": 3, "start_label": 1}, {"scale": 300}], ids=str)
def test_compiles_whole_with_options(options):
    image = batch()[0]
    compiled = torch.compile(
        lambda x: pyseg.felzenszwalb(x, channel_axis=0, **options), fullgraph=True, backend="eager"
    )
    assert torch.equal(compiled(image), pyseg.felzenszwalb(image, channel_axis=0, **options))


def test_numbers_may_change_under_compilation():
    image = batch()[0]
    segment = lambda x, k, m: pyseg.felzenszwalb(x, k, min_size=m, channel_axis=0)  # noqa: E731
    compiled = torch.compile(segment, fullgraph=True, backend="eager")
    for k, m in ((1.0, 20), (2.5, 20), (30.0, 5), (100.0, 50)):
        assert torch.equal(compiled(image, k, m), segment(image, k, m))


@pytest.mark.parametrize("way", ["torch.compile(f, fullgraph=True, backend='eager')", "fake(f)", "exported(f)"])
def test_the_first_call_of_a_process_may_be_traced(way, run_python):
    """Nothing has loaded the library before."""
    run_python(f"""
import torch, pyseg
from torch._subclasses.fake_tensor import FakeTensorMode

x = torch.arange(3 * 40 * 50, dtype=torch.uint8).reshape(3, 40, 50)
f = lambda x: pyseg.felzenszwalb(x, channel_axis=0)

def fake(f):
    def run(x):
        with FakeTensorMode() as mode:
            assert f(mode.from_tensor(x)).shape == (40, 50)
        return f(x)
    return run

def exported(f):
    class Module(torch.nn.Module):
        def forward(self, x):
            return f(x)
    return torch.export.export(Module(), (x,)).module()

labels = ({way})(x)
assert torch.equal(labels, f(x))
""")


def test_fake_tensors_have_shapes_and_no_work(op):
    with FakeTensorMode():
        labels, count = op(torch.empty(3, 3, 4000, 5000, dtype=torch.uint8), 1.0, 0.8, 20, 0)
    assert tuple(labels.shape) == (3, 4000, 5000)
    assert labels.dtype == torch.int32
    assert tuple(count.shape) == (3,)
    assert count.dtype == torch.int64


def test_deterministic_mode_does_not_raise():
    torch.use_deterministic_algorithms(True)
    try:
        pyseg.felzenszwalb(batch()[0], channel_axis=0)
    finally:
        torch.use_deterministic_algorithms(False)
