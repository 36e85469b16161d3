"""ASPP: the fused inference against its modules, state dicts of other repositories, training, errors."""

import copy

import pytest
import torch
from torch.nn import functional as F

import pyseg
from pyseg import nn
from pyseg.ops import Branch


def module(rates=(2, 4, 6), channels=40, outputs=36, seed=0, **options):
    torch.manual_seed(seed)
    aspp = nn.ASPP(channels, rates, outputs, **options)
    for part in aspp.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_(std=0.2)
            part.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(part.weight, 0.5, 1.5)
            torch.nn.init.normal_(part.bias)
    return aspp.eval()


def by_modules(aspp, x):
    """The same, by torch alone."""
    aspp = copy.deepcopy(aspp)
    for part in aspp.modules():
        if hasattr(part, "algorithm"):
            part.algorithm = "torch"
    return aspp(x)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("algorithm", ["auto", "fast", "direct"])
def test_fused_is_its_modules(batch, last, algorithm, isa):
    aspp = module()
    aspp.algorithm = algorithm
    x = torch.randn(batch, 40, 19, 22)
    if last:
        x = x.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        assert aspp._fused(x) is not None
        y, want = aspp(x), by_modules(aspp, x)
    assert y.is_contiguous(memory_format=torch.channels_last) == last
    torch.testing.assert_close(y, want, rtol=1e-4, atol=1e-3 if algorithm == "fast" else 1e-4)


@pytest.mark.parametrize("separable", [False, True])
def test_training_and_evaluation_agree_with_torch(separable):
    aspp = module(separable=separable)
    x = torch.randn(2, 40, 15, 16)
    torch.testing.assert_close(aspp(x), by_modules(aspp, x), rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(aspp(x), by_modules(aspp, x), rtol=1e-4, atol=1e-4)
    aspp.train()
    for dropout in (m for m in aspp.modules() if isinstance(m, torch.nn.Dropout)):
        dropout.p = 0.0
    theirs = copy.deepcopy(aspp)
    y, want = aspp(x), by_modules(theirs, x)
    torch.testing.assert_close(y, want, rtol=1e-3, atol=1e-3)
    y.square().mean().backward()
    assert all(p.grad is not None for p in aspp.parameters())


def test_state_dicts_of_other_repositories():
    aspp = module(rates=(6, 12, 18))
    names = list(aspp.state_dict())
    assert names[0] == "convs.0.0.weight"
    assert "convs.4.1.weight" in names
    assert "project.0.weight" in names
    renamed = {}
    for name, value in aspp.state_dict().items():
        parts = name.split(".")
        if parts[0] == "project":
            new = ["conv1" if parts[1] == "0" else "bn1", *parts[2:]]
        elif parts[1] == "4":
            new = ["global_avg_pool", *parts[2:]]
        else:
            new = [f"aspp{int(parts[1]) + 1}", "atrous_conv" if parts[2] == "0" else "bn", *parts[3:]]
        renamed[".".join(new)] = value
    other = module(rates=(6, 12, 18), seed=1)
    other.load_state_dict(renamed, strict=True)
    inside = torch.nn.Sequential(torch.nn.Identity(), module(rates=(6, 12, 18), seed=2))
    inside.load_state_dict({f"1.{k}": v for k, v in renamed.items()}, strict=True)
    for mine, theirs in zip(other.state_dict().values(), aspp.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)
    x = torch.randn(1, 40, 12, 12)
    with torch.no_grad():
        assert torch.equal(inside(x), aspp(x))


def test_compile_and_export():
    aspp = module()
    x = torch.randn(1, 40, 14, 15)
    with torch.no_grad():
        want = aspp(x)
        compiled = torch.compile(aspp, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(x), want)
        program = torch.export.export(aspp, (x,))
        torch.testing.assert_close(program.module()(x), want)


def test_opcheck():
    aspp = module()
    x = torch.randn(2, 40, 9, 9)
    branches = [aspp.convs[0], aspp.convs[1]]
    ones, zeros = torch.ones(36), torch.zeros(36)
    project = [torch.randn(36, 72, 1, 1), ones, zeros]
    weights = [b[0].weight.detach() for b in branches]
    pyseg.info()
    torch.library.opcheck(
        torch.ops.pyseg.aspp.default, (x, weights, [ones] * 2, [zeros] * 2, [1, 2], [], project, "winograd")
    )


def test_what_keeps_a_module_from_being_fused():
    x = torch.randn(1, 40, 9, 9)
    with torch.no_grad():
        assert module()._fused(x.double()) is None
        assert module().train()._fused(x) is None
        strange = module()
        strange.convs[1][0].padding = (3, 3)
        assert strange._fused(x) is None
        strange.convs[1][0].padding = strange.convs[1][0].dilation
        strange.convs[2][1] = torch.nn.BatchNorm2d(36, track_running_stats=False)
        assert strange._fused(x) is None
        with torch.autocast("cpu"):
            assert module()._fused(x) is None
    assert module()._fused(x) is None  # parameters want gradients


def test_functional_errors():
    w, one = torch.randn(8, 40, 3, 3), torch.ones(8)
    x = torch.randn(1, 40, 9, 9)
    branch, project = Branch(w, one, one, 2), Branch(torch.randn(4, 8, 1, 1), torch.ones(4), torch.ones(4))
    y = pyseg.aspp(x, [branch], project)
    inner = F.relu(F.conv2d(x, w, padding=2, dilation=2) + 1)
    torch.testing.assert_close(y, F.relu(F.conv2d(inner, project.weight) + 1), rtol=1e-4, atol=1e-4)
    assert pyseg.aspp(x[:0], [branch], project).shape == (0, 4, 9, 9)
    for call, error, rule in [
        (lambda: pyseg.aspp(x.double(), [branch], project), TypeError, "float32"),
        (lambda: pyseg.aspp(x, [], project), ValueError, "at least one branch"),
        (lambda: pyseg.aspp(x[:, 1:], [branch], project), ValueError, "branch 0's weight"),
        (lambda: pyseg.aspp(x, [branch, branch], project), ValueError, "project's weight"),
        (lambda: pyseg.aspp(x, [Branch(w, one[1:], one)], project), ValueError, "scale must be"),
        (lambda: pyseg.aspp(x, [Branch(w, one, one, 0)], project), ValueError, "rate must be"),
        (lambda: pyseg.aspp(x, [branch], project, algorithm="fft"), ValueError, "algorithm must be"),
        (lambda: pyseg.aspp(x, [branch], Branch(torch.randn(4, 8, 3, 3), one[:4], one[:4])), ValueError, "1 x 1"),
        (lambda: nn.ASPP(8, (0, 2)), ValueError, "rates must be"),
    ]:
        with pytest.raises(error, match=rule):
            call()
