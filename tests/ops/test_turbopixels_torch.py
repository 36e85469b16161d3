"""turbopixels as a torch op: opcheck, fake tensors, compilation, export, layouts."""

import numpy as np
import pytest
import samples
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import pyseg
from pyseg import _runtime


def batch(dtype="uint8", channels=3, shape=(40, 52)):
    images = [samples.image("photo", shape, channels, dtype, seed) for seed in range(2)]
    return torch.from_numpy(np.stack(images)).movedim(-1, 1)


def arguments(images, n_segments=20):
    return (images, n_segments, 0.3, 1.0, 10 / 127, 10.0, 0.0, 500, True, 0)


@pytest.fixture
def op():
    return _runtime.torch_ops().turbopixels.default


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


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", samples.DTYPES)
def test_a_batch_is_its_images(op, dtype, layout):
    images = LAYOUTS[layout](batch(dtype))
    labels, count = op(*arguments(images))
    assert labels.dtype == torch.int32
    assert count.dtype == torch.int64
    for image, mine, n in zip(images, labels, count, strict=True):
        assert torch.equal(pyseg.turbopixels(image, 20, channel_axis=0), mine)
        assert n == mine.max() + 1
        np.testing.assert_array_equal(pyseg.turbopixels(image.numpy(), 20, channel_axis=0), mine.numpy())


def test_an_empty_batch(op):
    labels, count = op(*arguments(torch.rand(0, 3, 8, 9)))
    assert tuple(labels.shape) == (0, 8, 9)
    assert tuple(count.shape) == (0,)


def test_tensors_of_any_rank_that_arrays_have():
    image = batch()[0]
    expected = pyseg.turbopixels(image, 20, channel_axis=0)
    assert torch.equal(pyseg.turbopixels(image.movedim(0, -1), 20), expected)
    grey = pyseg.turbopixels(image[0], 20)
    np.testing.assert_array_equal(grey.numpy(), pyseg.turbopixels(image[0].numpy(), 20))


def test_bfloat16_is_its_float32():
    image = batch("float32")[0].bfloat16()
    same = pyseg.turbopixels(image.float(), 20, channel_axis=0)
    assert torch.equal(pyseg.turbopixels(image, 20, channel_axis=0), same)


def test_an_image_that_requires_gradients_gives_labels_without():
    image = batch("float32")[0].clone().requires_grad_()
    assert not pyseg.turbopixels(image, 20, channel_axis=0).requires_grad


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_whole(dynamic):
    def segment(x):
        return pyseg.turbopixels(x, 20, channel_axis=0) + 1

    compiled = torch.compile(segment, fullgraph=True, dynamic=dynamic)
    for image in (batch()[0], batch()[1, :, :30, :30]):
        assert torch.equal(compiled(image), segment(image))


@pytest.mark.parametrize("options", [{}, {"sigma": 5.0}, {"max_iter": 3, "start_label": 1}, {"nu": 0.03}], ids=str)
def test_compiles_whole_with_options(options):
    image = batch()[0]
    call = lambda x: pyseg.turbopixels(x, 20, channel_axis=0, **options)  # noqa: E731
    assert torch.equal(torch.compile(call, fullgraph=True, backend="eager")(image), call(image))


def test_numbers_may_change_under_compilation():
    image = batch()[0]
    segment = lambda x, n, a: pyseg.turbopixels(x, n, alpha=a, channel_axis=0)  # noqa: E731
    compiled = torch.compile(segment, fullgraph=True, backend="eager")
    for n, a in ((20, 0.3), (30, 0.3), (40, 0.0), (50, 0.5)):
        assert torch.equal(compiled(image, n, a), segment(image, n, a))


@pytest.mark.parametrize("way", ["torch.compile(f, fullgraph=True, backend='eager')", "fake(f)", "exported(f)"])
def test_the_first_call_of_a_process_may_be_traced(way, run_python):
    """Nothing has loaded the library before."""
    run_python(f"""
import torch, pyseg
from torch._subclasses.fake_tensor import FakeTensorMode

x = torch.arange(3 * 40 * 50, dtype=torch.uint8).reshape(3, 40, 50)
f = lambda x: pyseg.turbopixels(x, 20, channel_axis=0)

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

assert torch.equal(({way})(x), f(x))
""")


def test_fake_tensors_have_shapes_and_no_work():
    _runtime.torch_ops()
    with FakeTensorMode():
        labels = pyseg.turbopixels(torch.empty(3, 4000, 5000, dtype=torch.uint8), 20, channel_axis=0)
    assert tuple(labels.shape) == (4000, 5000)
    assert labels.dtype == torch.int32


def test_deterministic_mode_does_not_raise():
    torch.use_deterministic_algorithms(True)
    try:
        pyseg.turbopixels(batch()[0], 20, channel_axis=0)
    finally:
        torch.use_deterministic_algorithms(False)


def test_statistics_are_tensors():
    labels, stats = pyseg.turbopixels(batch()[0], 20, channel_axis=0, return_stats=True)
    assert isinstance(stats.area, torch.Tensor)
    assert int(stats.area.sum()) == labels.numel()
    assert stats.n == int(labels.max()) + 1
