"""``pyseg.patch``: puts our layers into a network that exists, and takes them out again.

A module is replaced by giving it another class: parameters, buffers, hooks, names and the state_dict stay what and
where they were. Only modules of exactly the classes named here are touched; a subclass may compute something else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pyseg.nn.aspp import ASPP
from pyseg.nn.atrous_conv import AtrousConv2d
from pyseg.nn.max_unpool import MaxPool1d, MaxPool2d, MaxPool3d, MaxUnpool1d, MaxUnpool2d, MaxUnpool3d

__all__ = ["PatchReport", "Replacement", "patch", "unpatch"]

_BEFORE = "_pyseg_before"  # in a patched module: its class, and what it did not have


@dataclass(frozen=True)
class Replacement:
    """What became of a module: ``by`` the name of our class, or None and the ``reason``."""

    module: str
    kind: str
    by: str | None
    reason: str

    def __str__(self) -> str:
        return f"{self.module or '(the model)'}: {self.kind} -> {self.by or 'unchanged'} ({self.reason})"


@dataclass
class PatchReport:
    """All modules that were looked at, and with ``verify`` how far the outputs moved.

    ``difference`` is the largest |after - before| over all floating point outputs, ``relative`` the same in parts of
    the largest |before|; both None without ``verify``.
    """

    replacements: list[Replacement] = field(default_factory=list)
    difference: float | None = None
    relative: float | None = None

    @property
    def replaced(self) -> list[Replacement]:
        return [r for r in self.replacements if r.by is not None]

    @property
    def unchanged(self) -> list[Replacement]:
        return [r for r in self.replacements if r.by is None]

    def __str__(self) -> str:
        lines = [f"{len(self.replaced)} of {len(self.replacements)} modules replaced"]
        if self.difference is not None:
            lines[0] += f"; outputs differ by {self.difference:.1e}, {self.relative:.1e} of the largest"
        return "\n".join(lines + [f"  {r}" for r in self.replacements])


def _conv(module: nn.Module) -> tuple[type[nn.Module] | None, str]:
    assert isinstance(module, nn.Conv2d)
    kernel, stride, rate = module.kernel_size, module.stride, module.dilation
    said = f"{kernel[0]} x {kernel[1]}, stride {stride[0]}, rate {rate[0]}"
    if isinstance(module.weight, nn.parameter.UninitializedParameter):
        return None, "its parameters are not there yet"
    if module.groups > 1 and module.groups != module.in_channels:
        return None, f"{said} in {module.groups} groups: torch's is as fast"
    if rate != (1, 1) or (stride == (1, 1) and kernel in ((1, 1), (3, 3))) or module.groups > 1:
        return AtrousConv2d, said
    return None, f"{said}: torch's is as fast"


def _aspp(module: nn.Module) -> tuple[type[nn.Module] | None, str]:
    convs, project = getattr(module, "convs", None), getattr(module, "project", None)
    if not isinstance(convs, nn.ModuleList) or not isinstance(project, nn.Sequential):
        return None, "it has not the parts of torchvision's ASPP"
    if set(dict(module.named_children())) != {"convs", "project"} or not all(
        isinstance(c, nn.Sequential) for c in convs
    ):
        return None, "it has other parts than torchvision's ASPP"
    return ASPP, "its branches in one call, in evaluation"


_POOLS: dict[type[nn.Module], type[nn.Module]] = {
    nn.MaxPool1d: MaxPool1d,
    nn.MaxPool2d: MaxPool2d,
    nn.MaxPool3d: MaxPool3d,
}
_UNPOOLS: dict[type[nn.Module], type[nn.Module]] = {
    nn.MaxUnpool1d: MaxUnpool1d,
    nn.MaxUnpool2d: MaxUnpool2d,
    nn.MaxUnpool3d: MaxUnpool3d,
}


def _pool(module: nn.Module) -> tuple[type[nn.Module] | None, str]:
    if not module.return_indices:
        return None, "it keeps no indices"
    return _POOLS[type(module)], "indices as torch's, int64"


def _unpool(module: nn.Module) -> tuple[type[nn.Module] | None, str]:
    return _UNPOOLS[type(module)], "indices as torch's, int64"


Rule = Callable[[nn.Module], tuple[type[nn.Module] | None, str]]


def _rule(module: nn.Module) -> tuple[Rule, dict[str, Any]] | None:
    """What decides over a module, and the attributes that our class has beyond its own."""
    if type(module) is nn.Conv2d:
        return _conv, {}
    if type(module) in _POOLS:
        return _pool, {"indices": "int64"}
    if type(module) in _UNPOOLS:
        return _unpool, {}
    if type(module).__name__ == "ASPP" and not isinstance(module, ASPP):
        return _aspp, {}
    return None


def _modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    return iter(list(model.named_modules()))


def patch(model: nn.Module, *, verify: Any = None) -> PatchReport:
    """Replaces the layers of ``model`` that pyseg has a faster one for, in place.

    ==============================================  =====================================
    torch's                                         ours
    ==============================================  =====================================
    ``nn.Conv2d``: dilated, depthwise, or of stride
    1 with a 1 x 1 or 3 x 3 kernel                   :class:`pyseg.nn.AtrousConv2d`
    torchvision's DeepLab v3 ``ASPP``               :class:`pyseg.nn.ASPP`
    ``nn.MaxPool*`` with ``return_indices``         :class:`pyseg.nn.MaxPool2d` and its twins
    ``nn.MaxUnpool*``                               :class:`pyseg.nn.MaxUnpool2d` and its twins
    ==============================================  =====================================

    Training, state_dict, hooks, ``torch.compile`` and ``copy.deepcopy`` work as before. What another dtype or device
    runs on, or where torch is as fast, is decided in each call: the layers then do what torch's do.

    Args:
        model: any module; a module that is patched already is left as it is.
        verify: an input of ``model`` (a tensor, a tuple of arguments, or a dict of keyword arguments): the model is run
            on it before and after, in evaluation without gradients, and the report says how far outputs moved.

    Returns:
        A :class:`PatchReport`; printed, it is a list of module -> replaced by, or why not.

    Raises:
        TypeError: ``model`` is no ``torch.nn.Module``.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"patch: model must be a torch.nn.Module, got {type(model).__name__}")
    before = None if verify is None else _outputs(model, verify)
    report = PatchReport()
    for name, module in _modules(model):
        found = _rule(module)
        if found is None:
            continue
        rule, more = found
        ours, reason = rule(module)
        kind = type(module).__name__
        report.replacements.append(Replacement(name, kind, None if ours is None else ours.__name__, reason))
        if ours is not None:
            module.__dict__[_BEFORE] = (type(module), tuple(more))
            module.__dict__.update(more)
            module.__class__ = ours
    if before is not None:
        report.difference, report.relative = _moved(before, _outputs(model, verify))
    return report


def unpatch(model: nn.Module) -> int:
    """Gives the modules that :func:`patch` replaced their own classes back; returns how many there were."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"unpatch: model must be a torch.nn.Module, got {type(model).__name__}")
    count = 0
    for _, module in _modules(model):
        before = module.__dict__.pop(_BEFORE, None)
        if before is None:
            continue
        module.__class__, more = before
        for name in more:
            del module.__dict__[name]
        count += 1
    return count


def _outputs(model: nn.Module, given: Any) -> list[Tensor]:
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            if isinstance(given, Mapping):
                result = model(**given)
            else:
                result = model(*given) if isinstance(given, tuple) else model(given)
    finally:
        for module, training in modes:
            module.training = training
    return [t.detach().clone() for t in _tensors(result)]


def _tensors(value: Any) -> Iterator[Tensor]:
    """The floating point tensors in whatever a model returns."""
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)


def _moved(before: list[Tensor], after: list[Tensor]) -> tuple[float, float]:
    pairs = [(a.double(), b.double()) for a, b in zip(before, after, strict=True) if a.numel()]
    difference = max((float((a - b).abs().max()) for a, b in pairs), default=0.0)
    largest = max((float(a.abs().max()) for a, _ in pairs), default=0.0)
    return difference, difference / largest if largest else 0.0
