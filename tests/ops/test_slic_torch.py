"""slic as a torch op: opcheck, fake tensors, compilation, export, layouts."""

import numpy as np
import pytest
import samples
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import pyseg
from pyseg import _runtime

DTYPES = ["uint8", "uint16", "float16", "float32", "float64"]


def batch(dtype="uint8", channels=3, shape=(40, 52)):
    images = [samples.image("photo", shape, channels, dtype, seed) for seed in range(2)]
    return torch.from_numpy(np.stack(images)).movedim(-1, 1)


def arguments(images, dims=2, mask=None, centers=None, to_lab=True):
    sigma, spacing = [-1.0] * 3, [1.0] * 3
    return (images, 20, 10.0, 3, -1.0, sigma, to_lab, False, True, 0.25, 0, mask, spacing, centers, dims)


@pytest.fixture
def op():
    return _runtime.torch_ops().slic.default


LAYOUTS = {
    "channels_last": lambda x: x,
    "contiguous": lambda x: x.contiguous(),
    "a view": lambda x: x[:, :, ::2, 1:],
    "expanded": lambda x: x[:1].expand(3, -1, -1, -1),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_opcheck(op, dtype, layout):
    torch.library.opcheck(op, arguments(LAYOUTS[layout](batch(dtype))))


def test_opcheck_of_what_is_optional(op):
    images = batch("float32")
    mask = torch.ones(2, 40, 52, dtype=torch.bool)
    mask[:, :9] = False
    torch.library.opcheck(op, arguments(images, mask=mask))
    torch.library.opcheck(op, arguments(images, centers=torch.rand(2, 9, 3, dtype=torch.float64) * 40))
    volume = torch.rand(2, 1, 5, 12, 14)
    torch.library.opcheck(op, arguments(volume, dims=3, to_lab=False))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_batch_is_its_images(dtype, layout):
    images = LAYOUTS[layout](batch(dtype))
    labels, count = pyseg.ops.slic_batch(images, 20)
    assert labels.dtype == torch.int32
    assert count.dtype == torch.int64
    for image, mine, n in zip(images, labels, count, strict=True):
        assert torch.equal(pyseg.slic(image, 20, channel_axis=0), mine)
        assert n == mine.max() + 1
        np.testing.assert_array_equal(pyseg.slic(image.numpy(), 20, channel_axis=0), mine.numpy())


def test_volumes_and_masks_in_a_batch():
    images = torch.rand(2, 1, 6, 20, 22)
    masks = torch.rand(2, 6, 20, 22) > 0.3
    labels, _ = pyseg.ops.slic_batch(images, 12, masks=masks)
    for image, mask, mine in zip(images, masks, labels, strict=True):
        assert torch.equal(pyseg.slic(image, 12, channel_axis=0, mask=mask), mine)


def test_bfloat16_is_its_float32():
    image = batch("float32").bfloat16()
    assert torch.equal(pyseg.ops.slic_batch(image, 20)[0], pyseg.ops.slic_batch(image.float(), 20)[0])


def test_an_image_that_requires_gradients_gives_labels_without():
    image = batch("float32").clone().requires_grad_()
    labels, _ = pyseg.ops.slic_batch(image, 20)
    assert not labels.requires_grad


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_whole(dynamic):
    def segment(x):
        labels, count = pyseg.ops.slic_batch(x, 20)
        return labels + 1, count

    compiled = torch.compile(segment, fullgraph=True, dynamic=dynamic)
    for images in (batch(), batch()[:, :, :30, :30]):
        for mine, theirs in zip(compiled(images), segment(images), strict=True):
            assert torch.equal(mine, theirs)


def test_a_single_image_compiles_whole():
    image = batch()[0]
    compiled = torch.compile(lambda x: pyseg.slic(x, 20, channel_axis=0), fullgraph=True)
    assert torch.equal(compiled(image), pyseg.slic(image, 20, channel_axis=0))


@pytest.mark.parametrize("call", ["slic(x, 20, channel_axis=0)", "slic(x, 20, channel_axis=0, mask=x[0] > 60)"])
@pytest.mark.parametrize("way", ["torch.compile(f, fullgraph=True, backend='eager')", "fake(f)", "exported(f)"])
def test_the_first_call_of_a_process_may_be_traced(call, way, run_python):
    """Nothing has loaded the library before."""
    run_python(f"""
import torch, pyseg
from torch._subclasses.fake_tensor import FakeTensorMode

x = torch.arange(3 * 40 * 50, dtype=torch.uint8).reshape(3, 40, 50)
f = lambda x: pyseg.{call}

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


@pytest.mark.parametrize("options", [{}, {"tol": 0.5}, {"sigma": 1.5}, {"slic_zero": True, "start_label": 1}], ids=str)
def test_compiles_whole_with_options(options):
    image = batch()[0]
    compiled = torch.compile(lambda x: pyseg.slic(x, 20, channel_axis=0, **options), fullgraph=True, backend="eager")
    assert torch.equal(compiled(image), pyseg.slic(image, 20, channel_axis=0, **options))


def test_numbers_may_change_under_compilation():
    image = batch()[0]
    segment = lambda x, n, c: pyseg.slic(x, n, c, channel_axis=0)  # noqa: E731
    compiled = torch.compile(segment, fullgraph=True, backend="eager")
    for n, c in ((20, 10.0), (30, 10.0), (40, 2.5), (50, 7.0)):
        assert torch.equal(compiled(image, n, c), segment(image, n, c))


def test_exports():
    class Segment(torch.nn.Module):
        def forward(self, x):
            return pyseg.ops.slic_batch(x, 20)[0]

    images = batch()
    program = torch.export.export(Segment(), (images,))
    assert torch.equal(program.module()(images), pyseg.ops.slic_batch(images, 20)[0])


def test_fake_tensors_have_shapes_and_no_work():
    _runtime.torch_ops()
    with FakeTensorMode():
        labels, count = pyseg.ops.slic_batch(torch.empty(3, 3, 4000, 5000, dtype=torch.uint8), 20)
    assert tuple(labels.shape) == (3, 4000, 5000)
    assert labels.dtype == torch.int32
    assert tuple(count.shape) == (3,)
    assert count.dtype == torch.int64


def test_deterministic_mode_does_not_raise():
    torch.use_deterministic_algorithms(True)
    try:
        pyseg.ops.slic_batch(batch(), 20)
    finally:
        torch.use_deterministic_algorithms(False)


def test_statistics_are_tensors():
    image = batch()[0]
    labels, stats = pyseg.slic(image, 20, channel_axis=0, return_stats=True)
    assert isinstance(stats.area, torch.Tensor)
    assert int(stats.area.sum()) == labels.numel()
    again = pyseg.slic(image, channel_axis=0, initial_centers=stats.initial_centers)
    assert int(again.max()) + 1 > stats.n // 2
