"""roi_align as a torch op: opcheck, gradients, compilation, export, 16-bit types, beside torchvision."""

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import pyseg
from pyseg import _runtime
from pyseg.reference import roi_align as reference


def problem(dtype=torch.float32, shape=(2, 5, 12, 15), count=6, seed=0):
    rng = np.random.default_rng(seed)
    size = np.array([shape[3], shape[2]])
    middle, half = rng.random((count, 2)) * size, rng.random((count, 2)) * size * 0.4
    boxes = np.concatenate([rng.integers(0, shape[0], (count, 1)), middle - half, middle + half], 1)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    return torch.from_numpy(rng.normal(size=shape)).to(dtype), torch.from_numpy(boxes).to(wide)


DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
LAYOUTS = {
    "contiguous": lambda x: x,
    "channels_last": lambda x: x.to(memory_format=torch.channels_last),
    "a view": lambda x: x[:, :, ::2, 1:],
    "expanded": lambda x: x[:1].expand(2, -1, -1, -1),
}


@pytest.fixture
def op():
    return _runtime.torch_ops().roi_align.default


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_opcheck(op, dtype, layout):
    features, boxes = problem(dtype)
    features = LAYOUTS[layout](features)
    torch.library.opcheck(op, (features.requires_grad_(), boxes, 3, 2, 0.5, 2, True))
    torch.library.opcheck(op, (features.detach(), boxes[:0], 3, 2, 0.5, 0, False))
    gradient = LAYOUTS[layout](torch.rand(6, 5, 4, 4).to(dtype))
    backward = torch.ops.pyseg.roi_align_backward.default
    rows = boxes[: len(gradient)]
    torch.library.opcheck(backward, (gradient.requires_grad_(), rows, 2, 12, 15, 0.5, 2, True))


@pytest.mark.parametrize("sampling", [0, 1, 2, 3])
@pytest.mark.parametrize("aligned", [False, True])
def test_gradcheck(sampling, aligned):
    features, boxes = problem(torch.float64, (2, 3, 7, 8))
    boxes[0, 1:] = torch.tensor([-2.0, -1, 4, 3])

    def call(x):
        return pyseg.roi_align(x, boxes, (2, 3), 0.8, sampling, aligned)

    assert torch.autograd.gradcheck(call, [features.requires_grad_()])
    assert torch.autograd.gradgradcheck(lambda x: call(x).square(), [features.requires_grad_()])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_16_bit_types_are_rounded_once(dtype):
    features, boxes = problem(dtype, (2, 20, 12, 15))
    wide = features.float().requires_grad_()
    leaf = features.clone().requires_grad_()
    expected = pyseg.roi_align(wide, boxes, 3, 1.0, 2, True)
    mine = pyseg.roi_align(leaf, boxes, 3, 1.0, 2, True)
    assert mine.dtype == dtype
    assert torch.equal(mine, expected.to(dtype))
    gradient = torch.randn_like(mine)
    mine.backward(gradient)
    expected.backward(gradient.float())
    assert leaf.grad.dtype == dtype
    assert torch.equal(leaf.grad, wide.grad.to(dtype))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_every_16_bit_value_goes_through(dtype, isa):
    """One sample a bin, in the middle of a pixel: the value itself. (Infinity would make NaN of its neighbours.)"""
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int16)
    values = bits.view(dtype).reshape(1, 64, 32, 32)
    values = torch.where(torch.isfinite(values), values, 0)
    box = torch.tensor([[0, 0.0, 0, 32, 32]])
    for features in (values, values.to(memory_format=torch.channels_last)):
        assert torch.equal(pyseg.roi_align(features, box, 32, 1.0, 1, True), values)
        leaf = torch.zeros_like(features).requires_grad_()
        pyseg.roi_align(leaf, box, 32, 1.0, 1, True).backward(values)
        assert torch.equal(leaf.grad, values)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_and_infinity_go_through(dtype, isa):
    for value in (float("nan"), float("inf"), float("-inf")):
        features = torch.full((1, 20, 8, 8), value, dtype=dtype)
        result = pyseg.roi_align(features, torch.tensor([[0, 1.3, 1.3, 5, 5]]), 3, 1.0, 2, True)
        assert torch.equal(result.isnan(), torch.full_like(result, value != value, dtype=torch.bool))
        assert value != value or bool((result == value).all())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_16_bit_sums_round_to_nearest_on_every_instruction_set(dtype, isa):
    features, boxes = problem(torch.float32, (2, 33, 12, 15), 30)
    features = features * 10 ** torch.linspace(-9, 4, 33)[:, None, None]
    narrow = features.to(dtype)
    expected = pyseg.roi_align(narrow.float(), boxes, 3, 1.0, 2).to(dtype)
    assert torch.equal(pyseg.roi_align(narrow, boxes, 3, 1.0, 2), expected)


def test_channels_last_in_and_out():
    features, boxes = problem()
    leaf = features.to(memory_format=torch.channels_last).requires_grad_()
    result = pyseg.roi_align(leaf, boxes, 3)
    assert result.is_contiguous(memory_format=torch.channels_last)
    result.sum().backward()
    assert leaf.grad.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(result, pyseg.roi_align(features, boxes, 3))


def test_boxes_have_no_gradient():
    features, boxes = problem()
    result = pyseg.roi_align(features.requires_grad_(), boxes.requires_grad_(), 3)
    result.sum().backward()
    assert boxes.grad is None
    with torch.no_grad():
        assert not pyseg.roi_align(features, boxes, 3).requires_grad


def test_float64_boxes_beside_float32_features_and_the_other_way_round():
    features, boxes = problem()
    expected = pyseg.roi_align(features, boxes, 3)
    assert torch.equal(pyseg.roi_align(features, boxes.double(), 3), expected)
    wide = pyseg.roi_align(features.double(), boxes, 3)
    np.testing.assert_array_equal(wide, reference(features.double().numpy(), boxes.double().numpy(), (3, 3)))


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_whole(dynamic):
    def pool(x, boxes):
        return pyseg.roi_align(x * 2, boxes, (3, 2), 0.5, 2, True) + 1

    compiled = torch.compile(pool, fullgraph=True, dynamic=dynamic)
    for shape, count in (((2, 5, 12, 15), 6), ((1, 4, 9, 11), 3)):
        features, boxes = problem(shape=shape, count=count)
        results = []
        for call in (pool, compiled):
            leaf = features.clone().requires_grad_()
            out = call(leaf, boxes)
            out.square().sum().backward()
            results.append((out.detach(), leaf.grad))
        for mine, expected in zip(*results, strict=True):
            torch.testing.assert_close(mine, expected, rtol=1e-6, atol=1e-6)


def test_compiles_whole_with_boxes_as_a_list():
    features, boxes = problem()
    call = lambda x, a, b: pyseg.roi_align(x, [a, b], 3)  # noqa: E731
    rows = (boxes[:2, 1:], boxes[2:, 1:])
    assert torch.equal(torch.compile(call, fullgraph=True, backend="eager")(features, *rows), call(features, *rows))


def test_exports():
    features, boxes = problem()
    layer = pyseg.nn.RoIAlign(3, 0.5, 2, True)
    exported = torch.export.export(layer, (features, boxes)).module()
    assert torch.equal(exported(features, boxes), layer(features, boxes))


def test_the_first_call_of_a_process_may_be_traced(run_python):
    run_python("""
import torch, pyseg
x, boxes = torch.rand(1, 3, 8, 9), torch.tensor([[0, 1.0, 1, 6, 7]])
f = lambda x, b: pyseg.roi_align(x, b, 3)
assert torch.equal(torch.compile(f, fullgraph=True, backend="eager")(x, boxes), f(x, boxes))
""")


def test_fake_tensors_have_shapes_and_no_work():
    _runtime.torch_ops()
    with FakeTensorMode():
        result = pyseg.roi_align(torch.empty(2, 256, 4000, 5000), torch.empty(1000, 5), 14)
    assert tuple(result.shape) == (1000, 256, 14, 14)


def test_autocast_leaves_it_alone():
    features, boxes = problem(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(pyseg.roi_align(features, boxes, 3), pyseg.roi_align(features, boxes, 3))
        assert pyseg.roi_align(features.float(), boxes, 3).dtype == torch.float32


def test_deterministic_mode_does_not_raise():
    features, boxes = problem()
    torch.use_deterministic_algorithms(True)
    try:
        pyseg.roi_align(features.requires_grad_(), boxes, 3).sum().backward()
    finally:
        torch.use_deterministic_algorithms(False)


def test_gradients_do_not_depend_on_threads():
    features, boxes = problem(shape=(2, 70, 20, 30), count=40)
    gradients = []
    for threads in (1, 2, 3, 4):
        torch.set_num_threads(threads)
        leaf = features.clone().requires_grad_()
        pyseg.roi_align(leaf, boxes, 5).square().sum().backward()
        gradients.append(leaf.grad)
    assert all(torch.equal(g, gradients[0]) for g in gradients)


def test_errors_of_the_library_are_ValueErrors():
    features, boxes = problem()
    for place in (2, -1, 1e9, float("nan"), float("inf"), -float("inf")):
        boxes[3, 0] = place
        with pytest.raises(ValueError, match=r"^roi_align: a box's place in the batch must be 0 \.\. 1, got"):
            pyseg.roi_align(features, boxes, 3)


@pytest.fixture(scope="module")
def torchvision():
    """Its operators, where its wheel fits this torch (those of CUDA do not load beside a torch without)."""
    try:
        import torchvision

        torch.ops.torchvision.roi_align  # noqa: B018
    except Exception as error:
        pytest.skip(f"torchvision does not load here: {error}")
    return torchvision


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sampling", [-1, 1, 2, 3])
@pytest.mark.parametrize("aligned", [False, True])
def test_is_torchvision_bit_for_bit(torchvision, dtype, sampling, aligned):
    for seed, size in ((0, (7, 7)), (1, (14, 14)), (2, (1, 3))):
        features, boxes = problem(dtype, (2, 40, 33, 57), 30, seed)
        pairs = []
        for call in (torchvision.ops.roi_align, pyseg.roi_align):
            leaf = features.clone().requires_grad_()
            result = call(leaf, boxes, size, 0.7, sampling, aligned)
            gradient = torch.from_numpy(np.random.default_rng(seed).normal(size=result.shape)).to(dtype)
            result.backward(gradient)
            pairs.append((result.detach(), leaf.grad))
        for theirs, mine in zip(*pairs, strict=True):
            assert torch.equal(theirs, mine)
