"""RoIAlign as layers, on one map or on the levels of a feature pyramid; torchvision's arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pyseg.ops._boxes import pair
from pyseg.ops.roi_align import roi_align

__all__ = ["MultiScaleRoIAlign", "RoIAlign"]


class RoIAlign(nn.Module):
    """:func:`pyseg.roi_align` with fixed options.

    Args:
        output_size, spatial_scale, sampling_ratio, aligned: as of :func:`pyseg.roi_align`.

    Shape:
        features [B, C, H, W], boxes [K, 5] or a sequence of [L, 4] -> [K, C, height, width].

    Raises:
        ValueError, TypeError: as :func:`pyseg.roi_align`.
    """

    def __init__(
        self,
        output_size: int | tuple[int, int],
        spatial_scale: float = 1.0,
        sampling_ratio: int = -1,
        aligned: bool = False,
    ) -> None:
        super().__init__()
        self.output_size = pair("RoIAlign", "output_size", output_size, 1)
        self.spatial_scale, self.sampling_ratio, self.aligned = spatial_scale, sampling_ratio, aligned

    def forward(self, features: Tensor, boxes: Tensor | Sequence[Tensor]) -> Tensor:
        """[K, C, height, width]."""
        return roi_align(  # type: ignore[no-any-return]
            features, boxes, self.output_size, self.spatial_scale, self.sampling_ratio, self.aligned
        )

    def extra_repr(self) -> str:
        return (
            f"output_size={self.output_size}, spatial_scale={self.spatial_scale}, "
            f"sampling_ratio={self.sampling_ratio}, aligned={self.aligned}"
        )


class MultiScaleRoIAlign(nn.Module):
    """RoIAlign on a feature pyramid: each box on the level that fits its size (Lin et al., "Feature Pyramid Networks
    for Object Detection", CVPR 2017, equation 1): floor(canonical_level + log2(sqrt(area) / canonical_scale)).

    torchvision's ``MultiScaleRoIAlign``: scales of the levels are the nearest powers of 2 to the ratios of the maps to
    the largest image, boxes are not aligned.

    Args:
        featmap_names: of the levels, the finest first; others are ignored.
        output_size, sampling_ratio: as of :func:`pyseg.roi_align`.
        canonical_scale, canonical_level: a box of so many pixels a side belongs to that level.

    Shape:
        {name: [B, C, H, W]}, boxes: a list of [L, 4], one an image, image_shapes: a list of (height, width) ->
        [K, C, height, width], boxes of all images in their order.

    Raises:
        ValueError: none of the levels is among the maps, or as :func:`pyseg.roi_align`.
    """

    def __init__(
        self,
        featmap_names: Sequence[str],
        output_size: int | tuple[int, int],
        sampling_ratio: int,
        *,
        canonical_scale: int = 224,
        canonical_level: int = 4,
    ) -> None:
        super().__init__()
        self.featmap_names = list(featmap_names)
        self.output_size = pair("MultiScaleRoIAlign", "output_size", output_size, 1)
        self.sampling_ratio = sampling_ratio
        self.canonical_scale, self.canonical_level = canonical_scale, canonical_level

    def scales(self, maps: Sequence[Tensor], image_shapes: Sequence[tuple[int, int]]) -> list[float]:
        """Of each map, to the largest image."""
        height = max(shape[0] for shape in image_shapes)
        return [2.0 ** float(torch.tensor(m.shape[-2] / height).log2().round()) for m in maps]

    def levels(self, boxes: Sequence[Tensor], scales: Sequence[float]) -> Tensor:
        """int64 [K]: which of the maps each box belongs to."""
        low, high = (-float(torch.tensor(scale).log2()) for scale in (scales[0], scales[-1]))
        every = torch.cat(list(boxes))
        side = ((every[:, 2] - every[:, 0]) * (every[:, 3] - every[:, 1])).sqrt()
        level = torch.floor(self.canonical_level + torch.log2(side / self.canonical_scale) + 1e-6)
        level = torch.nan_to_num(level, nan=low, posinf=high, neginf=low)  # of boxes turned inside out, or NaN
        return level.clamp(low, high).to(torch.int64) - int(low)

    def forward(
        self, x: Mapping[str, Tensor], boxes: Sequence[Tensor], image_shapes: Sequence[tuple[int, int]]
    ) -> Tensor:
        """[K, C, height, width]."""
        maps = [x[name] for name in self.featmap_names if name in x]
        if not maps:
            raise ValueError(f"MultiScaleRoIAlign: maps must have one of {self.featmap_names}, got {list(x)}")
        scales = self.scales(maps, image_shapes)
        rows = torch.cat([torch.cat([b.new_full((b.shape[0], 1), i), b], 1) for i, b in enumerate(boxes)])

        def pooled(i: int, rows: Tensor) -> Tensor:
            return roi_align(maps[i], rows, self.output_size, scales[i], self.sampling_ratio)  # type: ignore[no-any-return]

        if len(maps) == 1:
            return pooled(0, rows)
        level = self.levels(boxes, scales)
        out = maps[0].new_zeros((rows.shape[0], maps[0].shape[1], *self.output_size))
        for i in range(len(maps)):
            (at,) = torch.where(level == i)
            out = out.index_put((at,), pooled(i, rows[at]))
        return out

    def extra_repr(self) -> str:
        return (
            f"featmap_names={self.featmap_names}, output_size={self.output_size}, sampling_ratio={self.sampling_ratio}"
        )
