"""What depthwise_conv2d promises: threads, NaN and infinity, strange sizes, errors, inputs left alone, memory."""

import threading

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import pyseg
from pyseg import _runtime, reference

LAST = torch.channels_last


def results(x, weight, bias, rest, grad):
    """The result and its three gradients, by the op itself."""
    ops = _runtime.torch_ops()
    return (
        ops.depthwise_conv2d(x, weight, bias, *rest, False),
        ops.depthwise_conv2d_grad_input(grad, x, weight, *rest),
        ops.depthwise_conv2d_grad_weight(grad, x, weight, *rest),
        ops.depthwise_conv2d_grad_bias(grad),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(2, 70, 33, 35), (1, 3, 300, 400), (1, 256, 9, 8), (3, 16, 64, 65)])
@pytest.mark.parametrize("last", [False, True])
def test_threads_make_no_difference(last, shape, dtype, isa):
    torch.manual_seed(0)
    x, grad = torch.randn(shape).to(dtype), torch.randn(shape).to(dtype)
    if last:
        x, grad = x.contiguous(memory_format=LAST), grad.contiguous(memory_format=LAST)
    weight, bias = torch.randn(shape[1], 1, 3, 3).to(dtype), torch.randn(shape[1]).to(dtype)
    rest = ([1, 1], [6, 6], [6, 6])
    torch.set_num_threads(1)
    expected = results(x, weight, bias, rest, grad)
    for threads in (2, 3, 4, 2):
        torch.set_num_threads(threads)
        for mine, its in zip(results(x, weight, bias, rest, grad), expected, strict=True):
            assert torch.equal(mine, its)
    if dtype == torch.float32:
        for threads in (1, 2, 3):
            pyseg.set_num_threads(threads)
            mine = pyseg.depthwise_conv2d(x.numpy(), weight.numpy(), bias.numpy(), dilation=6)
            np.testing.assert_array_equal(mine, expected[0].numpy())


@pytest.mark.parametrize("shape", [(2, 40, 33, 35), (1, 3, 200, 300)])
@pytest.mark.parametrize("last", [False, True])
def test_instruction_sets_agree_to_rounding(last, shape, set_isa):
    torch.manual_seed(0)
    x, grad = torch.randn(shape), torch.randn(shape)
    x = x.contiguous(memory_format=LAST) if last else x
    weight, bias, rest = torch.randn(shape[1], 1, 3, 3), torch.randn(shape[1]), ([1, 1], [6, 6], [6, 6])
    set_isa("baseline")
    expected = results(x, weight, bias, rest, grad)
    for level in ("avx2", "avx512"):
        set_isa(level)
        for mine, its in zip(results(x, weight, bias, rest, grad), expected, strict=True):
            assert float((mine - its).abs().max()) <= 4e-6 * float(its.abs().max())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("rate", [1, 5, 18])
def test_what_is_not_finite_in_x_reaches_what_it_reaches_in_torch(rate, last, value, isa):
    ops = _runtime.torch_ops()
    torch.manual_seed(1)
    x, weight = torch.randn(1, 40, 19, 33), torch.randn(40, 1, 3, 3)
    for place in ((0, 0), (9, 16), (18, 32), (3, 15), (4, 17)):
        x[0, ::3, place[0], place[1]] = value
    expected = F.conv2d(x.double(), weight.double(), None, 1, rate, rate, 40)
    x = x.contiguous(memory_format=LAST) if last else x
    y = ops.depthwise_conv2d(x, weight, None, [1, 1], [rate] * 2, [rate] * 2, False)
    torch.testing.assert_close(y.double(), expected, rtol=1e-4, atol=1e-4, equal_nan=True)
    relu = ops.depthwise_conv2d(x, weight, None, [1, 1], [rate] * 2, [rate] * 2, True)
    torch.testing.assert_close(relu, y.relu(), equal_nan=True, rtol=0, atol=0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("where", ["weight", "x", "grad"])
def test_what_is_outside_does_not_count_whatever_it_is_multiplied_by(where, last, value, isa):
    rng = np.random.default_rng(2)
    arrays = {
        "x": rng.standard_normal((1, 24, 17, 21)),
        "weight": rng.standard_normal((24, 1, 3, 3)),
        "grad": rng.standard_normal((1, 24, 17, 21)),
    }
    arrays[where][0, 0, 0, 0] = value
    arrays[where][-1, -1, -1, -1] = value
    geometry = {"padding": [7] * 4, "dilation": (7, 7)}
    tensors = {k: torch.tensor(v, dtype=torch.float32) for k, v in arrays.items()}
    if last:
        tensors |= {k: tensors[k].contiguous(memory_format=LAST) for k in ("x", "grad")}
    mine = results(tensors["x"], tensors["weight"], None, ([1, 1], [7, 7], [7, 7]), tensors["grad"])
    with np.errstate(invalid="ignore"):
        expected = [
            reference.depthwise_conv2d(arrays["x"], arrays["weight"], **geometry),
            *reference.depthwise_conv2d_gradients(arrays["grad"], arrays["x"], arrays["weight"], **geometry),
        ]
    for a, b in zip(mine, expected, strict=True):
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("last", [False, True])
def test_no_images_and_sizes_of_zero(last):
    weight = torch.randn(20, 1, 3, 3)
    x = torch.randn(0, 20, 8, 9)
    y = pyseg.depthwise_conv2d(x.contiguous(memory_format=LAST) if last else x, weight, dilation=2)
    assert tuple(y.shape) == (0, 20, 8, 9)
    assert pyseg.depthwise_conv2d(x.numpy(), weight.numpy()).shape == (0, 20, 8, 9)
    empty = torch.randn(2, 20, 0, 9, requires_grad=True)
    weight.requires_grad_()
    y = pyseg.depthwise_conv2d(empty, weight, dilation=2, padding=3)
    assert tuple(y.shape) == (2, 20, 2, 11)
    assert not y.any()
    y.sum().backward()
    assert not weight.grad.any()
    nothing = torch.randn(0, 20, 8, 9, requires_grad=True)
    weight.grad = None
    pyseg.depthwise_conv2d(nothing, weight, torch.zeros(20, requires_grad=True), dilation=2).sum().backward()
    assert not weight.grad.any()
    assert nothing.grad.shape == nothing.shape


def test_one_image_without_a_batch():
    x, weight = torch.randn(20, 8, 9), torch.randn(20, 1, 3, 3)
    expected = pyseg.depthwise_conv2d(x[None], weight, dilation=2)[0]
    assert torch.equal(pyseg.depthwise_conv2d(x, weight, dilation=2), expected)
    np.testing.assert_array_equal(pyseg.depthwise_conv2d(x.numpy(), weight.numpy(), dilation=2), expected.numpy())


ARRAYS = {
    "reversed": lambda a: a[:, ::-1, ::-1, ::-1],
    "every second": lambda a: np.repeat(a, 2, 3)[..., ::2],
    "one plane over and over": lambda a: np.broadcast_to(a[:, :1], a.shape),
    "channels last, but reversed": lambda a: np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)[
        :, :, ::-1, ::-1
    ],
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "Fortran order": np.asfortranarray,
}


def unaligned(a):
    view = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("layout", [*ARRAYS, "unaligned"])
def test_any_strides(layout, dtype, unchanged):
    rng = np.random.default_rng(3)
    x = (ARRAYS | {"unaligned": unaligned})[layout](rng.standard_normal((2, 36, 11, 14)).astype(dtype))
    weight = rng.standard_normal((3, 5, 1, 36)).astype(dtype).transpose(3, 2, 1, 0)
    bias = rng.standard_normal(72).astype(dtype)[::-2]
    unchanged(x, weight, bias)
    expected = reference.depthwise_conv2d(x, weight, bias, padding=[2, 2, 1, 1])
    y = pyseg.depthwise_conv2d(x, weight, bias, padding=(2, 1))
    tolerance = {"float16": 2e-2, "float32": 1e-5, "float64": 1e-13}[dtype]
    np.testing.assert_allclose(y.astype(float), expected, rtol=0, atol=tolerance)


def test_eight_python_threads_at_once():
    weight = torch.randn(40, 1, 3, 3)
    images = [torch.randn(1, 40, 20 + i, 30) for i in range(8)]
    rest = ([1, 1], [6, 6], [6, 6])
    expected = [results(x, weight, None, rest, x) for x in images]
    wrong = []

    def work(i):
        for _ in range(20):
            mine = results(images[i], weight, None, rest, images[i])
            array = pyseg.depthwise_conv2d(images[i].numpy(), weight.numpy(), dilation=6)
            if not all(map(torch.equal, mine, expected[i])) or not np.array_equal(array, expected[i][0].numpy()):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert not any(thread.is_alive() for thread in threads)


def test_deterministic_mode_does_not_raise():
    torch.use_deterministic_algorithms(True)
    try:
        x, weight = torch.randn(1, 20, 9, 9, requires_grad=True), torch.randn(20, 1, 3, 3, requires_grad=True)
        pyseg.depthwise_conv2d(x, weight, dilation=2).sum().backward()
    finally:
        torch.use_deterministic_algorithms(False)


MEMORY = """
import torch, pyseg

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

w = torch.randn(32, 1, 3, 3, requires_grad=True)
for i in range(601):
    x = torch.randn(1, 32, 30 + i % 7, 40, requires_grad=True)
    pyseg.depthwise_conv2d(x, w, dilation=1 + i % 5).sum().backward()
    pyseg.depthwise_conv2d(x.detach().numpy(), w.detach().numpy(), dilation=1 + i % 5)
    if i == 100:
        before = resident()
print(resident() - before)
"""


def test_memory_is_flat(run_python):
    assert int(run_python(MEMORY, timeout=200)) < 4 * 2**20
