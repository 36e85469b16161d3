"""Gradients of deform_attention: gradcheck in float64, and against the definition's in every precision."""

import pytest
import torch
from deform_problems import by_torch, close, random_fused, random_points, to
from torch.autograd import gradcheck

import pyseg
from pyseg.reference import deform_attention as defined
from pyseg.reference import deform_attention_fused as defined_fused

SMALL = {"queries": 3, "heads": 2, "channels": 3, "points": 2, "batch": 2, "shapes": [(3, 4), (1, 2)]}


def leaves_of(problem):
    return [x.clone().requires_grad_() for x in problem if isinstance(x, torch.Tensor)]


def solve(function, problem, leaves):
    return function(leaves[0], problem.shapes, *leaves[1:])


def gradients(function, problem, seed=1):
    leaves = leaves_of(problem)
    result = solve(function, problem, leaves)
    cotangent = torch.randn(result.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.autograd.grad(result, leaves, cotangent.to(result.dtype))


def test_gradcheck():
    problem = random_points(**SMALL)
    assert gradcheck(lambda *x: solve(pyseg.deform_attention, problem, x), leaves_of(problem))


@pytest.mark.parametrize("box", [2, 4])
def test_gradcheck_fused(box):
    problem = random_fused(box=box, **SMALL)
    assert gradcheck(lambda *x: solve(pyseg.deform_attention_fused, problem, x), leaves_of(problem))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("channels", [1, 8, 16, 24, 32, 48, 80])
@pytest.mark.parametrize("queries", [2, 90])
def test_are_the_definitions(queries, channels, dtype, isa):
    problem = random_points(channels, channels=channels, queries=queries, low=-0.6, high=1.6)
    bar = 1e-13 if dtype == torch.float64 else 5e-6
    for mine, expected in zip(
        gradients(pyseg.deform_attention, to(problem, dtype)), gradients(defined, problem), strict=True
    ):
        assert mine.dtype == dtype
        close(mine, expected, bar)


def test_of_an_encoders_strips():
    problem = random_fused(3, shapes=[(3, 200), (9, 7)], queries=663, points=5, batch=1)
    for mine, expected in zip(
        gradients(pyseg.deform_attention_fused, problem), gradients(defined_fused, problem), strict=True
    ):
        close(mine, expected, 1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("box", [2, 4])
@pytest.mark.parametrize("points", [1, 4, 7])
def test_fused_are_the_definitions(points, box, dtype, isa):
    problem = random_fused(points, box, points=points, queries=60)
    bar = 1e-12 if dtype == torch.float64 else 2e-5
    for mine, expected in zip(
        gradients(pyseg.deform_attention_fused, to(problem, dtype)), gradients(defined_fused, problem), strict=True
    ):
        close(mine, expected, bar)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_better_than_torchs(dtype):
    problem = to(random_points(5, channels=32, queries=300, shapes=[(20, 18), (9, 9)], low=0, high=1), dtype)
    # Rounded locations lie on pixels, where the slope is that of the right and of the lower side, as grid_sample's.
    exact = gradients(by_torch, to(problem, torch.float64))
    mine, theirs = gradients(pyseg.deform_attention, problem), gradients(by_torch, problem)
    for name, m, t, e in zip(("value", "locations", "weights"), mine, theirs, exact, strict=True):
        assert m.dtype == dtype
        error, allowed = ((x.double() - e).abs().max() for x in (m, t))
        assert error <= 2 * allowed, name
        close(m, e, 2 * torch.finfo(dtype).eps)


def test_each_alone_is_as_with_the_others():
    """What is not wanted is not computed; the rest stays the same."""
    for function, problem in (
        (pyseg.deform_attention, random_points(6)),
        (pyseg.deform_attention_fused, random_fused(6)),
        (pyseg.deform_attention_fused, random_fused(6, 4)),
    ):
        together = gradients(function, problem)
        for i, expected in enumerate(together):
            leaves = [x.clone() for x in problem if isinstance(x, torch.Tensor)]
            leaves[i].requires_grad_()
            result = solve(function, problem, leaves)
            cotangent = torch.randn(result.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
            (alone,) = torch.autograd.grad(result, leaves[i], cotangent)
            assert torch.equal(alone, expected), i


def test_gradients_of_mixed_types_are_of_each_leafs():
    problem = to(random_fused(7, channels=32), torch.float32)
    problem = problem._replace(value=problem.value.bfloat16(), offsets=problem.offsets.half())
    mine = gradients(pyseg.deform_attention_fused, problem)
    assert [x.dtype for x in mine] == [torch.bfloat16, torch.float32, torch.float16, torch.float32]
    expected = gradients(defined_fused, to(problem, torch.float64))
    for m, e in zip(mine, expected, strict=True):
        close(m, e, 4 * torch.finfo(torch.bfloat16).eps)


def test_masked_logits():
    """Minus infinity: no weight, no gradient."""
    problem = random_fused(8)
    problem.logits[0, 0, 0, 0, :] = -torch.inf
    for dtype in (torch.float64, torch.float32):
        given = to(problem, dtype)
        close(pyseg.deform_attention_fused(*given), defined_fused(*problem), 1e-5)
        of_logits = gradients(pyseg.deform_attention_fused, given)[3]
        assert not of_logits[0, 0, 0, 0].any()
        assert bool(of_logits.isfinite().all())


def test_large_logits():
    problem = random_fused(9)
    problem = problem._replace(logits=problem.logits * 300)
    close(pyseg.deform_attention_fused(*to(problem, torch.float32)), defined_fused(*to(problem, torch.float32)), 1e-5)


def test_expanded_and_strided_gradients():
    problem = random_points(10)
    leaves = leaves_of(problem)
    solve(pyseg.deform_attention, problem, leaves).sum().backward()  # an expanded cotangent
    expected = [x.grad for x in leaves]
    leaves = leaves_of(problem)
    solve(defined, problem, leaves).sum().backward()
    for mine, leaf in zip(expected, leaves, strict=True):
        close(mine, leaf.grad, 1e-12)


def test_none_where_none_is_wanted():
    problem = random_points(11)
    assert not pyseg.deform_attention(*problem).requires_grad
    with torch.no_grad():
        assert not solve(pyseg.deform_attention, problem, leaves_of(problem)).requires_grad


EMPTY = {
    "no queries": {"queries": 0}, "no images": {"batch": 0}, "no pixels": {"shapes": [(0, 3), (2, 0)]},
    "no points": {"points": 0}, "no levels": {"shapes": []}, "no channels": {"channels": 0}, "no heads": {"heads": 0},
}  # fmt: skip


@pytest.mark.parametrize("name", EMPTY)
def test_of_nothing(name):
    options = EMPTY[name]
    problem = random_points(12, **options) if options.get("shapes") != [] else _no_levels()
    leaves = leaves_of(problem)
    result = solve(pyseg.deform_attention, problem, leaves)
    assert not result.any()
    for gradient, leaf in zip(torch.autograd.grad(result.sum(), leaves), leaves, strict=True):
        assert gradient.shape == leaf.shape
        assert not gradient.any()


def _no_levels():
    problem = random_points(12)
    return problem._replace(
        value=problem.value[:, :0],
        shapes=[],
        locations=problem.locations[:, :, :, :0],
        weights=problem.weights[:, :, :, :0],
    )


# ---- the layer


def test_the_layer_begins_as_the_official_one():
    torch.manual_seed(0)
    layer = pyseg.nn.MSDeformAttn(32, 2, 4, 3)
    bias = layer.sampling_offsets.bias.detach().reshape(4, 2, 3, 2)
    expected = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    for level in range(2):
        for point in range(3):
            torch.testing.assert_close(bias[:, level, point], expected * (point + 1), atol=1e-6, rtol=0)
    for zero in (layer.sampling_offsets.weight, layer.attention_weights.weight, layer.attention_weights.bias):
        assert not zero.any()
    assert not layer.value_proj.bias.any()
    assert not layer.output_proj.bias.any()
    limit = (6 / 64) ** 0.5  # Xavier's
    assert 0.9 * limit < layer.value_proj.weight.abs().max() <= limit


def test_the_layer_learns_and_keeps_what_it_learned():
    torch.manual_seed(0)
    shapes = [(6, 5), (3, 3)]
    layer = pyseg.nn.MSDeformAttn(32, 2, 4, 2)
    query, flat, wanted = (torch.randn(2, n, 32) for n in (9, 39, 9))
    reference = torch.rand(2, 9, 2, 2)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.03)
    losses = []
    for _ in range(40):
        loss = (layer(query, reference, flat, shapes) - wanted).square().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.4 * losses[0]
    again = pyseg.nn.MSDeformAttn(32, 2, 4, 2)
    again.load_state_dict(layer.state_dict())
    assert torch.equal(again(query, reference, flat, shapes), layer(query, reference, flat, shapes))


def test_padding_has_no_value():
    torch.manual_seed(0)
    layer = pyseg.nn.MSDeformAttn(16, 1, 2, 2)
    torch.nn.init.normal_(layer.value_proj.bias)
    query, flat, reference = torch.randn(1, 3, 16), torch.randn(1, 12, 16), torch.rand(1, 3, 1, 2)
    mask = torch.zeros(1, 12, dtype=torch.bool)
    mask[0, 6:] = True
    other = flat.clone()
    other[0, 6:] = torch.nan
    assert torch.equal(
        layer(query, reference, flat, [(3, 4)], None, mask), layer(query, reference, other, [(3, 4)], None, mask)
    )
    assert not torch.equal(layer(query, reference, flat, [(3, 4)]), layer(query, reference, flat, [(3, 4)], None, mask))
