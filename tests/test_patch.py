"""pyseg.patch and unpatch: what is replaced, what stays the same, what is reported."""

import copy
import io

import pytest
import torch
from torch import nn

import pyseg
from pyseg.nn import patching


class Torchvisions(nn.Module):
    """The parts and the forward of torchvision.models.segmentation.deeplabv3.ASPP."""

    class Pooling(nn.Sequential):
        def forward(self, x):
            size = x.shape[-2:]
            for layer in self:
                x = layer(x)
            return nn.functional.interpolate(x, size=size, mode="bilinear", align_corners=False)

    def __init__(self, channels=40, rates=(2, 4), outputs=36):
        super().__init__()

        def block(*conv):
            return [nn.Conv2d(*conv[:2], *conv[2:3], padding=conv[3], dilation=conv[4], bias=False),
                    nn.BatchNorm2d(outputs), nn.ReLU()]  # fmt: skip

        convs = [nn.Sequential(*block(channels, outputs, 1, 0, 1))]
        convs += [nn.Sequential(*block(channels, outputs, 3, rate, rate)) for rate in rates]
        convs += [self.Pooling(nn.AdaptiveAvgPool2d(1), *block(channels, outputs, 1, 0, 1))]
        self.convs = nn.ModuleList(convs)
        self.project = nn.Sequential(*block(outputs * len(convs), outputs, 1, 0, 1), nn.Dropout(0.5))

    def forward(self, x):
        return self.project(torch.cat([conv(x) for conv in self.convs], 1))


Torchvisions.__name__ = "ASPP"


class Mine(nn.Conv2d):
    def forward(self, x):
        return super().forward(x) + 1


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 40, 7, stride=2, padding=3),
        nn.Conv2d(40, 40, 3, padding=2, dilation=2),
        nn.Conv2d(40, 40, 3, padding=1, groups=40),
        nn.Conv2d(40, 40, 3, padding=1, groups=8),
        Torchvisions(),
        Mine(36, 36, 3, dilation=2),
        nn.Conv2d(36, 5, 1),
    )


@pytest.fixture
def x():
    return torch.randn(2, 3, 33, 35, generator=torch.Generator().manual_seed(3))


def test_what_is_replaced_and_why_not(x):
    model = network().eval()
    report = pyseg.patch(model, verify=x)
    by = {r.module: r.by for r in report.replacements}
    assert by["1"] == by["2"] == by["4.convs.1.0"] == by["6"] == "AtrousConv2d"
    assert by["4"] == "ASPP"
    assert by["0"] is None
    assert by["3"] is None
    assert "5" not in by  # a subclass may compute something else
    assert report.relative < 1e-5
    assert len(report.replaced) + len(report.unchanged) == len(report.replacements)
    text = str(report)
    assert "7 x 7" in text
    assert "outputs differ by" in text
    assert "8 groups" in text


@pytest.mark.parametrize("training", [False, True])
def test_outputs_and_gradients_stay_and_all_comes_back(training, x):
    model = network()
    model[4].project[3].p = 0.0
    model.train(training)
    theirs = copy.deepcopy(model)
    state = {k: v.clone() for k, v in model.state_dict().items()}
    pyseg.patch(model)
    assert [m.training for m in model.modules()] == [m.training for m in theirs.modules()]
    y, want = model[:5](x), theirs[:5](x)
    torch.testing.assert_close(y, want, rtol=1e-3, atol=1e-4)
    y.square().mean().backward()
    want.square().mean().backward()
    for (name, mine), its in zip(model.named_parameters(), theirs.parameters(), strict=True):
        if its.grad is not None:
            torch.testing.assert_close(mine.grad, its.grad, rtol=1e-2, atol=1e-4, msg=name)
    assert list(model.state_dict()) == list(state)
    assert pyseg.unpatch(model) == 9
    assert pyseg.unpatch(model) == 0
    assert [type(m) for m in model.modules()] == [type(m) for m in theirs.modules()]
    for mine, its in zip(model.modules(), theirs.modules(), strict=True):
        assert set(mine.__dict__) == set(its.__dict__)


def test_the_state_dict_is_the_same_byte_for_byte():
    model = network()

    def saved():
        file = io.BytesIO()
        torch.save(model.state_dict(), file)
        return file.getvalue()

    before = saved()
    pyseg.patch(model)
    assert saved() == before
    model.load_state_dict(network().state_dict(), strict=True)


def test_verify_leaves_the_model_as_it_was(x):
    model = network()
    model[1].eval()
    modes = [m.training for m in model.modules()]
    running = model[4].convs[0][1].running_mean.clone()
    report = pyseg.patch(model, verify=(x,))
    assert [m.training for m in model.modules()] == modes
    assert torch.equal(model[4].convs[0][1].running_mean, running)
    assert report.difference > 0
    assert report.relative < 1e-4
    assert pyseg.patch(model, verify={"input": x}).difference == 0.0


def test_patched_twice_hooked_copied_and_compiled(x):
    model = network().eval()
    seen = []
    model[1].register_forward_hook(lambda *_: seen.append(1))
    pyseg.patch(model)
    again = pyseg.patch(model)
    assert not again.replaced
    with torch.no_grad():
        y = model(x)
        assert seen == [1]
        assert torch.equal(copy.deepcopy(model)(x), y)
        compiled = torch.compile(model[1], fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(torch.ones(1, 40, 9, 9)), model[1](torch.ones(1, 40, 9, 9)))


class Pools(nn.Module):
    def __init__(self):
        super().__init__()
        self.pool, self.unpool = nn.MaxPool2d(2, 2, return_indices=True), nn.MaxUnpool2d(2, 2)
        self.plain = nn.MaxPool2d(3, 2, 1)

    def forward(self, x):
        y, indices = self.pool(x)
        assert indices.dtype == torch.int64
        return self.plain(self.unpool(y, indices, output_size=x.shape[-2:]))


def test_pools_and_unpools(x):
    model = Pools()
    report = pyseg.patch(model, verify=x)
    assert {r.module: r.by for r in report.replacements} == {
        "pool": "MaxPool2d", "unpool": "MaxUnpool2d", "plain": None
    }  # fmt: skip
    assert report.difference == 0
    assert type(model.pool) is pyseg.nn.MaxPool2d
    assert pyseg.unpatch(model) == 2
    assert type(model.pool) is nn.MaxPool2d
    assert "indices" not in model.pool.__dict__


def test_what_only_looks_like_an_aspp():
    strange = Torchvisions()
    strange.more = nn.Identity()
    odd = type("ASPP", (nn.Module,), {"forward": lambda self, x: x})()
    report = pyseg.patch(nn.Sequential(strange, odd))
    reasons = {r.module: r.reason for r in report.unchanged}
    assert "other parts" in reasons["0"]
    assert "not the parts" in reasons["1"]


def test_outputs_of_any_shape():
    tensors = list(
        patching._tensors({"out": torch.ones(2), "aux": [torch.zeros(1), (torch.ones(1, dtype=torch.int8), 3)]})
    )
    assert len(tensors) == 2
    assert patching._moved([torch.ones(2)], [torch.tensor([1.0, 1.5])]) == (0.5, 0.5)
    assert patching._moved([], []) == (0.0, 0.0)


@pytest.mark.parametrize("call", [pyseg.patch, pyseg.unpatch])
def test_errors(call):
    with pytest.raises(TypeError, match=r"must be a torch\.nn\.Module, got int"):
        call(3)
