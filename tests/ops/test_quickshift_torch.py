"""quickshift as a torch op: opcheck, fake tensors, compilation, export, layouts, batches."""

import numpy as np
import pytest
import samples
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import pyseg
from pyseg import _runtime


def batch(dtype="uint8", channels=3, shape=(30, 42)):
    images = [samples.image(kind, shape, channels, dtype) for kind in ("photo", "cells")]
    return torch.from_numpy(np.stack(images)).movedim(-1, 1)


def arguments(images, noise=None, tree=False, to_lab=True):
    return (images, 1.0, 2.0, 5.0, 0.0, to_lab, 0, noise, tree)


@pytest.fixture
def op():
    return _runtime.torch_ops().quickshift.default


LAYOUTS = {
    "channels_last": lambda x: x,
    "contiguous": lambda x: x.contiguous(),
    "a view": lambda x: x[:, :, ::2, 1:],
    "expanded": lambda x: x[:1].expand(3, -1, -1, -1),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", samples.DTYPES)
def test_opcheck(op, dtype, layout):
    torch.library.opcheck(op, arguments(LAYOUTS[layout](batch(dtype))))


def test_opcheck_of_what_is_optional(op):
    images = batch("float32", 2)
    noise = torch.rand(2, 30, 42, dtype=torch.float64)
    torch.library.opcheck(op, arguments(images, noise, True, False))
    torch.library.opcheck(op, arguments(images, noise.transpose(1, 2).contiguous().transpose(1, 2), to_lab=False))
    torch.library.opcheck(op, arguments(batch()[:0], tree=True))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", samples.DTYPES)
def test_a_batch_is_its_images(op, dtype, layout):
    images = LAYOUTS[layout](batch(dtype))
    labels, count, parents, distances = op(*arguments(images, tree=True))
    for i, image in enumerate(images):
        results = labels[i], parents[i], distances[i]
        expected = pyseg.quickshift(image, 1.0, 2.0, 5.0, channel_axis=0, return_tree=True)
        by_numpy = pyseg.quickshift(image.numpy(), 1.0, 2.0, 5.0, channel_axis=0, return_tree=True)
        for mine, theirs, numpys in zip(results, expected, by_numpy, strict=True):
            assert mine.dtype == theirs.dtype
            assert torch.equal(mine, theirs)
            np.testing.assert_array_equal(mine.numpy(), numpys)
        assert count[i] == labels[i].max() + 1


def test_bfloat16_is_its_float32():
    image = batch("float32")[0].bfloat16()
    options = {"kernel_size": 2.0, "channel_axis": 0}
    assert torch.equal(pyseg.quickshift(image, **options), pyseg.quickshift(image.float(), **options))


def test_an_image_that_requires_gradients_gives_labels_without():
    image = batch("float32")[0].clone().requires_grad_()
    for result in pyseg.quickshift(image, kernel_size=2.0, channel_axis=0, return_tree=True):
        assert not result.requires_grad


def test_seeds_are_numpys():
    image = batch()[0]
    labels = pyseg.quickshift(image, kernel_size=2.0, channel_axis=0, rng=3)
    np.testing.assert_array_equal(labels, pyseg.quickshift(image.numpy(), kernel_size=2.0, channel_axis=0, rng=3))


def test_statistics_are_tensors():
    image = batch()[0]
    labels, stats = pyseg.quickshift(image, kernel_size=2.0, channel_axis=0, return_stats=True)
    assert isinstance(stats.area, torch.Tensor)
    assert int(stats.area.sum()) == labels.numel()


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_whole(dynamic):
    def segment(x):
        labels, parents, distances = pyseg.quickshift(x, 1.0, 2.0, 5.0, channel_axis=0, return_tree=True)
        return labels + 1, parents, distances * 2

    compiled = torch.compile(segment, fullgraph=True, dynamic=dynamic)
    for images in (batch()[0], batch()[1, :, :20, :30]):
        for mine, theirs in zip(compiled(images), segment(images), strict=True):
            assert torch.equal(mine, theirs)


@pytest.mark.parametrize(
    "options", [{}, {"sigma": 1.5}, {"convert2lab": False, "start_label": 1}, {"max_dist": 3}, {"ratio": 0.5}], ids=str
)
def test_compiles_whole_with_options(options):
    image = batch()[0]
    segment = lambda x: pyseg.quickshift(x, kernel_size=2.0, channel_axis=0, **options)  # noqa: E731
    assert torch.equal(torch.compile(segment, fullgraph=True, backend="eager")(image), segment(image))


def test_numbers_may_change_under_compilation():
    image = batch()[0]
    segment = lambda x, k, m: pyseg.quickshift(x, 1.0, k, m, channel_axis=0)  # noqa: E731
    compiled = torch.compile(segment, fullgraph=True, backend="eager")
    for k, m in ((2.0, 5.0), (3.0, 5.0), (2.5, 9.0)):
        assert torch.equal(compiled(image, k, m), segment(image, k, m))


@pytest.mark.parametrize("way", ["torch.compile(f, fullgraph=True, backend='eager')", "fake(f)", "exported(f)"])
def test_the_first_call_of_a_process_may_be_traced(way, run_python):
    """Nothing has loaded the library before."""
    run_python(f"""
import torch, pyseg
from torch._subclasses.fake_tensor import FakeTensorMode

x = torch.arange(3 * 20 * 30, dtype=torch.uint8).reshape(3, 20, 30)
f = lambda x: pyseg.quickshift(x, 1.0, 2.0, channel_axis=0)

def fake(f):
    def run(x):
        with FakeTensorMode() as mode:
            assert f(mode.from_tensor(x)).shape == (20, 30)
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


def test_fake_tensors_have_shapes_and_no_work():
    _runtime.torch_ops()
    with FakeTensorMode():
        image = torch.empty(3, 4000, 5000, dtype=torch.uint8)
        results = pyseg.quickshift(image, channel_axis=0, return_tree=True)
        labels = pyseg.quickshift(image, channel_axis=0)
    assert [tuple(r.shape) for r in results] == [(4000, 5000)] * 3
    assert [r.dtype for r in results] == [torch.int32, torch.int64, torch.float32]
    assert tuple(labels.shape) == (4000, 5000)


def test_deterministic_mode_does_not_raise():
    torch.use_deterministic_algorithms(True)
    try:
        pyseg.quickshift(batch()[0], kernel_size=2.0, channel_axis=0, return_tree=True)
    finally:
        torch.use_deterministic_algorithms(False)
