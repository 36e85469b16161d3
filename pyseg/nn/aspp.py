"""Atrous spatial pyramid pooling (Chen et al., "Rethinking Atrous Convolution", 2017, section 3.3)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from pyseg.nn.atrous_conv import AtrousConv2d, SeparableAtrousConv2d
from pyseg.ops.aspp import Branch, aspp

__all__ = ["ASPP"]


def _folded(conv: nn.Module, norm: nn.Module) -> Branch | None:
    """A convolution and its normalisation in evaluation; None where that cannot be folded."""
    if not isinstance(conv, nn.Conv2d) or not isinstance(norm, nn.BatchNorm2d):
        return None
    mean, var = norm.running_mean, norm.running_var
    if mean is None or var is None:
        return None
    scale = torch.rsqrt(var + norm.eps) * (1.0 if norm.weight is None else norm.weight)
    shift = (0.0 if norm.bias is None else norm.bias) - mean * scale
    if conv.bias is not None:
        shift = shift + conv.bias * scale
    return Branch(conv.weight, scale, shift, conv.dilation[0])


def _plain(conv: Any, kernel: int) -> bool:
    """A dense convolution at one rate with "same" padding."""
    if not isinstance(conv, nn.Conv2d) or conv.groups != 1 or conv.padding_mode != "zeros" or conv.stride != (1, 1):
        return False
    reach = conv.dilation[0] * (kernel // 2)
    same = conv.padding == "same" or conv.padding == (reach, reach)
    return conv.kernel_size == (kernel, kernel) and conv.dilation[0] == conv.dilation[1] and same


class ASPP(nn.Module):
    """A 1 x 1 branch, one 3 x 3 branch a rate, the image's mean, and a projection of all of them.

    Parameters have torchvision's names (``convs.0.0.weight`` ... ``project.0.weight``), so that the state_dict of
    ``torchvision.models.segmentation.deeplabv3.ASPP`` loads; the DeepLab repositories' names
    (``aspp1.atrous_conv.weight`` ... ``global_avg_pool.1.weight``, ``conv1.weight``, ``bn1.weight``) are translated
    when they are loaded.

    In evaluation without gradients, float32 on the CPU, the whole module is one fused call (:func:`pyseg.aspp`).

    Args:
        in_channels: C.
        rates: of the 3 x 3 branches, in pixels; (6, 12, 18) at output stride 16, (12, 24, 36) at 8.
        out_channels: of each branch and of the projection.
        separable: depthwise-separable 3 x 3 branches, as DeepLab v3+ has.
        dropout: probability, after the projection.

    Shape:
        x [N, C, H, W] -> [N, out_channels, H, W].
    """

    algorithm = "auto"

    def __init__(
        self,
        in_channels: int,
        rates: Sequence[int] = (12, 24, 36),
        out_channels: int = 256,
        *,
        separable: bool = False,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if any(rate < 1 for rate in rates):
            raise ValueError(f"ASPP: rates must be >= 1, got {tuple(rates)}")

        def block(conv: nn.Module, *before: nn.Module) -> nn.Sequential:
            return nn.Sequential(*before, conv, nn.BatchNorm2d(out_channels), nn.ReLU())

        def atrous(rate: int) -> nn.Module:
            if separable:
                return SeparableAtrousConv2d(in_channels, out_channels, dilation=rate, norm=True)
            return AtrousConv2d(in_channels, out_channels, 3, padding=rate, dilation=rate, bias=False)

        def point(channels: int) -> nn.Module:
            return nn.Conv2d(channels, out_channels, 1, bias=False)

        self.convs = nn.ModuleList(
            [
                block(point(in_channels)),
                *(block(atrous(rate)) for rate in rates),
                block(point(in_channels), nn.AdaptiveAvgPool2d(1)),
            ]
        )
        self.project = block(point(out_channels * (len(rates) + 2)))
        self.project.append(nn.Dropout(dropout))

    def forward(self, x: Tensor) -> Tensor:
        fused = self._fused(x)
        if fused is not None:
            return fused
        parts = []
        for conv in self.convs:
            y = conv(x)
            if y.shape[2:] != x.shape[2:]:  # the image's mean
                y = interpolate(y, size=x.shape[2:], mode="bilinear", align_corners=False)
            parts.append(y)
        result: Tensor = self.project(torch.cat(parts, 1))
        return result

    def _fused(self, x: Tensor) -> Tensor | None:
        """In one call, or None where the module or its input is not of that kind."""
        differentiable = torch.is_grad_enabled() and (
            x.requires_grad or any(p.requires_grad for p in self.parameters())
        )
        if self.training or differentiable or x.dtype != torch.float32 or x.device.type != "cpu" or x.dim() != 4:
            return None
        if torch.is_autocast_enabled("cpu") or self.algorithm == "torch":
            return None
        branches, pool = [], None
        for conv in self.convs:
            layers = list(conv.children())
            if isinstance(layers[0], nn.AdaptiveAvgPool2d):
                if pool is not None or not _plain(layers[1], 1):
                    return None
                pool = _folded(layers[1], layers[2])
                if pool is None:
                    return None
                continue
            if pool is not None or not (_plain(layers[0], 1) or _plain(layers[0], 3)):
                return None
            branch = _folded(layers[0], layers[1])
            if branch is None:
                return None
            branches.append(branch)
        layers = list(self.project.children())
        project = _folded(layers[0], layers[1]) if _plain(layers[0], 1) else None
        if project is None or not branches or project.weight.dtype != torch.float32:
            return None
        return aspp(x, branches, project, pool=pool, algorithm=self.algorithm)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        last = len(self.convs) - 1
        names: list[tuple[str, Callable[[re.Match[str]], str]]] = [
            (r"aspp(\d+)\.atrous_conv\.", lambda m: f"convs.{int(m[1]) - 1}.0."),
            (r"aspp(\d+)\.bn\.", lambda m: f"convs.{int(m[1]) - 1}.1."),
            (r"global_avg_pool\.(\d)\.", lambda m: f"convs.{last}.{m[1]}."),
            (r"conv1\.", lambda m: "project.0."),
            (r"bn1\.", lambda m: "project.1."),
        ]
        for key in [k for k in state_dict if k.startswith(prefix)]:
            for pattern, to in names:
                found = re.match(pattern, key[len(prefix) :])
                if found:
                    state_dict[prefix + to(found) + key[len(prefix) + found.end() :]] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *rest)
