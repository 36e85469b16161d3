"""dense_crf as a torch op: opcheck, fake tensors, compilation, export; and the layer in them."""

import numpy as np
import pytest
import torch
from crf_problems import random_problem
from torch._subclasses.fake_tensor import FakeTensorMode

import pyseg
from pyseg import _runtime


def batch(classes=3, shape=(18, 22), channels=3, dtype="uint8", images=2):
    """[B, K, ...] energies and [B, C, ...] pixels."""
    problems = [random_problem(seed, shape, classes, channels, dtype) for seed in range(images)]
    unary = torch.from_numpy(np.stack([p.unary for p in problems])).movedim(-1, 1).contiguous()
    image = torch.from_numpy(np.stack([p.image for p in problems])).movedim(-1, 1).contiguous()
    return unary, image


def arguments(unary, image, compat=None, features=(), kind=0, n_iter=2, half=False, normalization=1):
    """Of the op: a spatial kernel, a bilateral one where there is an image, and one over each of ``features``."""
    dims = unary.dim() - 2
    channels = 0 if image is None else image.shape[1]
    colored = [0] + ([1] if image is not None else [])
    given = [-1] * len(colored) + list(range(len(features)))
    spatial = [2.0] * dims + ([9.0] * dims if image is not None else [])
    count = len(given)
    return (
        unary,
        image,
        list(features),
        given,
        spatial,
        colored + [0] * len(features),
        [25.0] * channels,
        [torch.tensor(2.0) for _ in range(count)] if compat is None else [compat.clone() for _ in range(count)],
        [normalization] * count,
        kind,
        n_iter,
        half,
    )


@pytest.fixture(autouse=True)
def _nothing_compiled_before():
    torch.compiler.reset()


@pytest.fixture
def op():
    return _runtime.torch_ops().dense_crf.default


LAYOUTS = {
    "contiguous": lambda x: x,
    "channels_last": lambda x: x.to(memory_format=torch.channels_last),
    "a view": lambda x: x[:, :, ::2, 1:],
    "expanded": lambda x: x[:1].expand(3, -1, -1, -1),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_opcheck(op, dtype, layout):
    unary, image = batch(dtype=dtype)
    torch.library.opcheck(op, arguments(LAYOUTS[layout](unary), LAYOUTS[layout](image)))


@pytest.mark.parametrize("classes", [1, 2, 5])
def test_opcheck_of_gradients(op, classes):
    unary, image = batch(classes)
    compat = torch.eye(classes).neg()
    features = torch.rand(2, 18 * 22, 3)
    given = arguments(unary.requires_grad_(), image, compat, [features.requires_grad_()])
    for c in given[7]:
        c.requires_grad_()
    torch.library.opcheck(op, given)


def test_opcheck_of_what_is_optional(op):
    unary, image = batch()
    torch.library.opcheck(op, arguments(unary, None))
    torch.library.opcheck(op, arguments((-unary).softmax(1), image, kind=2, half=True, normalization=0))
    torch.library.opcheck(op, arguments(unary, image, torch.tensor([-1.0, -2, -3]), normalization=3))
    volume, pixels = batch(2, (4, 6, 7), 2, "float32")
    torch.library.opcheck(op, arguments(volume, pixels))


OPTIONS = [
    {},
    {"compat": torch.eye(3).neg()},
    {"bilateral": None},
    {"storage": "float16", "normalization": "after"},
    {"unary_from": "probs", "n_iter": 1},
]


def refine(unary, image, **options):
    options = {"unary_from": "logits", "n_iter": 2} | options
    if options["unary_from"] == "probs":
        unary = unary.softmax(1)
    return pyseg.dense_crf(unary, image, **options)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: ",".join(o) or "defaults")
def test_compiles_whole(options):
    compiled = torch.compile(lambda u, i: refine(u, i, **options) * 2, fullgraph=True, backend="aot_eager")
    for unary, image in (batch(), [x[:, :, :9, :13] for x in batch()]):
        torch.testing.assert_close(compiled(unary, image), refine(unary, image, **options) * 2, atol=0, rtol=0)


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_whole_by_the_default_backend(dynamic):
    compiled = torch.compile(lambda u, i: refine(u, i) + 1, fullgraph=True, dynamic=dynamic)
    for unary, image in (batch(), batch(shape=(11, 13))):
        torch.testing.assert_close(compiled(unary, image), refine(unary, image) + 1, atol=1e-6, rtol=0)


def test_gradients_compile_whole():
    unary, image = batch()
    results = []
    for run in (refine, torch.compile(refine, fullgraph=True, backend="aot_eager")):
        leaf = unary.clone().requires_grad_()
        results.append(torch.autograd.grad(run(leaf, image).square().sum(), leaf)[0])
    torch.testing.assert_close(results[1], results[0], atol=0, rtol=0)


@pytest.mark.parametrize("learn", [("compat", "weights"), ("compat", "weights", "sigmas")])
def test_the_layer_compiles_and_trains_whole(learn):
    unary, image = batch()
    layers = [pyseg.nn.DenseCRF(3, n_iter=2, learn=learn) for _ in range(2)]
    compiled = torch.compile(layers[1], fullgraph=True, backend="aot_eager")
    for module in (layers[0], compiled):
        module(unary, image).square().sum().backward()
    for mine, expected in zip(layers[1].parameters(), layers[0].parameters(), strict=True):
        torch.testing.assert_close(mine.grad, expected.grad, atol=1e-5, rtol=1e-4)


def test_the_first_call_of_a_process_may_be_traced(run_python):
    """Nothing has loaded the library before."""
    run_python("""
import torch, pyseg
f = lambda u, i: pyseg.dense_crf(u, i, n_iter=1, unary_from="energy")
u, i = torch.rand(1, 3, 9, 11), torch.zeros(1, 3, 9, 11, dtype=torch.uint8)
assert torch.equal(torch.compile(f, fullgraph=True, backend="eager")(u, i), f(u, i))
""")


def test_exports():
    class Refine(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.crf = pyseg.nn.DenseCRF(3, n_iter=2)

        def forward(self, scores, image):
            return self.crf(scores, image)

    unary, image = batch()
    module = Refine()
    program = torch.export.export(module, (unary, image))
    torch.testing.assert_close(program.module()(unary, image), module(unary, image), atol=0, rtol=0)


def test_fake_tensors_have_shapes_and_no_work():
    _runtime.torch_ops()
    with FakeTensorMode():
        q = pyseg.dense_crf(
            torch.empty(3, 21, 4000, 5000), torch.empty(3, 3, 4000, 5000, dtype=torch.uint8), unary_from="logits"
        )
    assert tuple(q.shape) == (3, 21, 4000, 5000)
    assert q.dtype == torch.float32


def test_deterministic_mode_does_not_raise():
    unary, image = batch()
    torch.use_deterministic_algorithms(True)
    try:
        refine(unary.requires_grad_(), image).square().sum().backward()
    finally:
        torch.use_deterministic_algorithms(False)


def test_the_result_is_in_memory_of_its_own():
    unary, image = batch()
    copies = unary.clone(), image.clone()
    q = pyseg.dense_crf(unary, image, n_iter=0, unary_from="energy")
    q += 1
    assert torch.equal(unary, copies[0])
    assert torch.equal(image, copies[1])


def test_arguments_of_different_kinds():
    """A tensor with a NumPy image; a NumPy array with a tensor's compat and weight."""
    unary, image = batch(images=1)
    expected = pyseg.dense_crf(unary[0], image[0], channel_axis=0, unary_from="energy")
    mixed = pyseg.dense_crf(unary[0], image[0].numpy(), channel_axis=0, unary_from="energy")
    assert torch.equal(mixed, expected)
    options = {
        "gaussian": pyseg.Gaussian(torch.tensor([3.0, 3.0]), torch.tensor(3.0)),
        "bilateral": pyseg.Bilateral(80, torch.tensor(13.0), torch.tensor(10.0)),
    }
    array = pyseg.dense_crf(unary[0].numpy(), image[0].numpy(), channel_axis=0, unary_from="energy", **options)
    np.testing.assert_array_equal(array, expected.numpy())
    compat = torch.eye(3).neg()
    array = pyseg.dense_crf(unary[0].numpy(), image[0].numpy(), channel_axis=0, unary_from="energy", compat=compat)
    tensor = pyseg.dense_crf(unary[0], image[0], channel_axis=0, unary_from="energy", compat=compat.numpy())
    np.testing.assert_array_equal(array, tensor.numpy())
