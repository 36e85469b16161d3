"""deform_attention as a torch op: opcheck, compilation, export, autocast; and the layer in them."""

import pytest
import torch
from deform_problems import close, random_fused, random_points, to
from torch._subclasses.fake_tensor import FakeTensorMode

import pyseg
from pyseg import _runtime
from pyseg.reference import deform_attention_fused as defined_fused


@pytest.fixture(autouse=True)
def _nothing_compiled_before():
    torch.compiler.reset()


def arguments(problem, starts=None):
    value, shapes, *rest = problem
    return (value, torch.tensor(shapes), starts, *rest)


DTYPES = [torch.float32, torch.float64, torch.bfloat16]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("wanted", [(0, 3, 4), (0,), (3,), ()])
def test_opcheck(wanted, dtype):
    op = _runtime.torch_ops().deform_attention.default
    given = arguments(to(random_points(channels=8), dtype), torch.tensor([0, 54, 69]))
    for i in wanted:
        given[i].requires_grad_()
    torch.library.opcheck(op, given)


@pytest.mark.parametrize("box", [2, 4])
@pytest.mark.parametrize("wanted", [(0, 3, 4, 5), (3,), (5,), ()])
def test_opcheck_fused(wanted, box):
    op = _runtime.torch_ops().deform_attention_fused.default
    given = arguments(to(random_fused(box=box), torch.float32))
    for i in wanted:
        given[i].requires_grad_()
    torch.library.opcheck(op, given)


def test_opcheck_backward():
    ops = _runtime.torch_ops()
    problem = to(random_points(), torch.float32)
    grad = torch.randn(2, 7, 24)
    for wanted in ((True, True), (False, True), (True, False)):
        torch.library.opcheck(ops.deform_attention_backward.default, (grad, *arguments(problem), *wanted))
    fused = to(random_fused(box=4), torch.float32)
    for wanted in ((True, True, True), (False, True, False), (False, False, True)):
        torch.library.opcheck(ops.deform_attention_fused_backward.default, (grad, *arguments(fused), *wanted))


LAYOUTS = {
    "transposed": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    "every second": lambda x: torch.stack([x, x], -1).flatten(-2)[..., ::2],
    "expanded": lambda x: x[:1].expand(2, *x.shape[1:]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_strides(layout):
    problem = to(random_points(1), torch.float32)
    strange = [LAYOUTS[layout](x) if isinstance(x, torch.Tensor) else x for x in problem]
    plain = [x.contiguous() if isinstance(x, torch.Tensor) else x for x in strange]
    assert torch.equal(pyseg.deform_attention(*strange), pyseg.deform_attention(*plain))


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiles_whole_with_gradients(backend, dynamic):
    compiled = torch.compile(
        lambda *x: pyseg.deform_attention_fused(*x) * 2, fullgraph=True, backend=backend, dynamic=dynamic
    )
    for options in ({}, {"queries": 9, "batch": 3}):
        results = []
        for run in (lambda *x: pyseg.deform_attention_fused(*x) * 2, compiled):
            value, shapes, *rest = to(random_fused(2, **options), torch.float32)
            leaves = [x.requires_grad_() for x in (value, *rest)]
            result = run(leaves[0], torch.tensor(shapes), *leaves[1:])
            results.append([result, *torch.autograd.grad(result.square().sum(), leaves)])
        for mine, expected in zip(*results[::-1], strict=True):
            torch.testing.assert_close(mine, expected, atol=1e-6, rtol=1e-5)


def test_compiles_whole_with_lists_and_starts():
    problem = to(random_points(3), torch.float32)
    run = lambda v, p, w: pyseg.deform_attention(v, problem.shapes, p, w, level_start_index=[0, 54, 69])  # noqa: E731
    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    given = (problem.value, problem.locations, problem.weights)
    assert torch.equal(compiled(*given), run(*given))


def layer_and_inputs():
    torch.manual_seed(0)
    layer = pyseg.nn.MSDeformAttn(32, 3, 4, 2)
    torch.nn.init.normal_(layer.sampling_offsets.weight, std=0.2)
    torch.nn.init.normal_(layer.attention_weights.weight, std=0.2)
    shapes = torch.tensor([(6, 9), (3, 5), (1, 2)])
    mask = torch.rand(2, 71) < 0.2
    return layer, (torch.randn(2, 7, 32), torch.rand(2, 7, 3, 2), torch.randn(2, 71, 32), shapes, None, mask)


def test_the_layer_compiles_whole():
    layer, inputs = layer_and_inputs()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    grads = []
    for run in (layer, compiled):
        layer.zero_grad()
        run(*inputs).square().sum().backward()
        grads.append([p.grad.clone() for p in layer.parameters()])
    for mine, expected in zip(*grads, strict=True):
        torch.testing.assert_close(mine, expected, atol=1e-6, rtol=1e-5)


def test_exports():
    layer, inputs = layer_and_inputs()
    program = torch.export.export(layer, inputs)
    torch.testing.assert_close(program.module()(*inputs), layer(*inputs), atol=0, rtol=0)


def test_the_first_call_of_a_process_may_be_traced(run_python):
    run_python("""
import torch, pyseg
f = lambda v, p, w: pyseg.deform_attention(v, [(2, 3)], p, w)
v, p, w = torch.rand(1, 6, 2, 4), torch.rand(1, 5, 2, 1, 3, 2), torch.rand(1, 5, 2, 1, 3)
assert torch.equal(torch.compile(f, fullgraph=True, backend="eager")(v, p, w), f(v, p, w))
""")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast(dtype):
    """Projections are in half precision; between them, nothing is rounded that was not so already."""
    layer, inputs = layer_and_inputs()
    exact = layer.double()(*(x.double() if x is not None and x.is_floating_point() else x for x in inputs))
    layer.float()
    with torch.autocast("cpu", dtype):
        result = layer(*inputs)
        result.float().square().sum().backward()
    assert result.dtype == dtype
    close(result, exact, 8 * torch.finfo(dtype).eps)
    assert all(p.grad.dtype == torch.float32 and bool(p.grad.isfinite().all()) for p in layer.parameters())
    problem = to(random_fused(4, channels=32), torch.float32)
    with torch.autocast("cpu", dtype):  # as it is without, of what is given
        got = pyseg.deform_attention_fused(*problem)
    assert got.dtype == torch.float32
    assert torch.equal(got, pyseg.deform_attention_fused(*problem))
    close(got, defined_fused(*to(problem, torch.float64)), 1e-5)


def test_fake_tensors_have_shapes_and_no_work():
    _runtime.torch_ops()
    with FakeTensorMode():
        shapes = [(1000, 2000)]
        value = torch.empty(2, 2_000_000, 8, 32, dtype=torch.bfloat16)
        result = pyseg.deform_attention(
            value, shapes, torch.empty(2, 10**6, 8, 1, 4, 2), torch.empty(2, 10**6, 8, 1, 4)
        )
    assert tuple(result.shape) == (2, 10**6, 256)
    assert result.dtype == torch.bfloat16


def test_deterministic_mode_does_not_raise():
    problem = to(random_points(5), torch.float32)
    torch.use_deterministic_algorithms(True)
    try:
        pyseg.deform_attention(problem.value.requires_grad_(), *problem[1:]).sum().backward()
    finally:
        torch.use_deterministic_algorithms(False)


def test_inputs_stay_as_they_are():
    problem = to(random_fused(6), torch.float32)
    copies = [x.clone() if isinstance(x, torch.Tensor) else x for x in problem]
    leaves = [x.requires_grad_() if isinstance(x, torch.Tensor) else x for x in problem]
    pyseg.deform_attention_fused(*leaves).sum().backward()
    for x, copy in zip(problem, copies, strict=True):
        assert x == copy if isinstance(x, list) else torch.equal(x, copy)


def test_shapes_of_any_integer_type():
    problem = to(random_points(7), torch.float32)
    expected = pyseg.deform_attention(*problem)
    for dtype in (torch.int64, torch.int32, torch.uint8):
        shapes = torch.tensor(problem.shapes, dtype=dtype)
        assert torch.equal(pyseg.deform_attention(problem.value, shapes, *problem[2:]), expected)
