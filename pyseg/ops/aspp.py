"""Atrous spatial pyramid pooling (Chen et al., "Rethinking Atrous Convolution", 2017, section 3.3), for inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyseg import _runtime, backends

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Branch", "aspp"]


@dataclass(frozen=True)
class Branch:
    """relu(conv(x) * scale + shift): a convolution with its batch normalisation folded.

    ``weight`` [O, C, 3, 3] at ``rate``, or [O, C, 1, 1]; ``scale`` and ``shift`` [O].
    """

    weight: Tensor
    scale: Tensor
    shift: Tensor
    rate: int = 1

    def check(self, name: str, channels: int) -> None:
        shape = list(self.weight.shape)
        if len(shape) != 4 or shape[1] != channels or shape[2:] not in ([1, 1], [3, 3]):
            raise ValueError(
                f"aspp: {name}'s weight must be [O, {channels}, 3, 3] or [O, {channels}, 1, 1], got {shape}"
            )
        for part, values in (("scale", self.scale), ("shift", self.shift)):
            if list(values.shape) != shape[:1]:
                raise ValueError(f"aspp: {name}'s {part} must be [{shape[0]}], got {list(values.shape)}")
        if self.rate < 1:
            raise ValueError(f"aspp: {name}'s rate must be >= 1, got {self.rate}")


def aspp(
    x: Tensor, branches: Sequence[Branch], project: Branch, *, pool: Branch | None = None, algorithm: str = "auto"
) -> Tensor:
    """relu(project(concat(branch(x) ..., pool(mean(x))))), fused: branches write into the concatenation, and the pooled
    branch becomes a shift of the projection.

    Args:
        x: [N, C, H, W] float32 on the CPU, contiguous or channels_last.
        branches: at least one; 1 x 1, or 3 x 3 at its rate with "same" padding.
        project: 1 x 1, from the branches' channels and then the pooled branch's.
        pool: 1 x 1, applied to the mean over H and W.
        algorithm: of the 3 x 3 branches: "auto" and "winograd" (F(2,3) and relatives), "fast" (F(4,3) too), "direct".

    Returns:
        [N, O, H, W] in the memory format of ``x``. Not differentiable: :class:`pyseg.nn.ASPP` trains.

    Raises:
        ValueError, TypeError: shapes that do not fit; x that is not float32 on the CPU.
    """
    import torch

    if not isinstance(x, torch.Tensor) or x.dim() != 4 or x.dtype != torch.float32 or x.device.type != "cpu":
        raise TypeError("aspp: x must be a float32 tensor [N, C, H, W] on the CPU")
    if algorithm not in ("auto", "winograd", "fast", "direct"):
        raise ValueError(f"aspp: algorithm must be auto, winograd, fast or direct, got {algorithm!r}")
    if not branches:
        raise ValueError("aspp: there must be at least one branch")
    for i, branch in enumerate(branches):
        branch.check(f"branch {i}", x.shape[1])
    if pool is not None:
        pool.check("pool", x.shape[1])
    joined = sum(b.weight.shape[0] for b in branches) + (0 if pool is None else pool.weight.shape[0])
    project.check("project", joined)
    if project.weight.shape[2] != 1 or (pool is not None and pool.weight.shape[2] != 1):
        raise ValueError("aspp: project and pool must be 1 x 1")
    _runtime.load_torch()
    fast = algorithm == "fast" or (algorithm == "auto" and backends.allow_winograd4)
    return torch.ops.pyseg.aspp(  # type: ignore[no-any-return]
        x,
        [b.weight for b in branches],
        [b.scale for b in branches],
        [b.shift for b in branches],
        [b.rate for b in branches],
        [] if pool is None else [pool.weight, pool.scale, pool.shift],
        [project.weight, project.scale, project.shift],
        "direct" if algorithm == "direct" else "winograd4" if fast else "winograd",
    )
