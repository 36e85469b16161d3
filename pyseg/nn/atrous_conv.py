"""Atrous convolutions as layers, with the parameters of ``torch.nn.Conv2d``."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import pad

from pyseg.ops.atrous_conv import atrous_conv2d

__all__ = ["AtrousConv2d", "SeparableAtrousConv2d"]


class AtrousConv2d(nn.Conv2d):
    """``torch.nn.Conv2d``, arguments and state_dict and all, computed by :func:`pyseg.atrous_conv2d`.

    ``algorithm`` may be set on the layer: "auto" (the default), "direct", "winograd", "fast" or "torch".

    Shape:
        x [N, C, H, W] or [C, H, W] -> as ``torch.nn.Conv2d``.
    """

    algorithm = "auto"

    def forward(self, x: Tensor) -> Tensor:
        padding = self.padding
        if self.padding_mode != "zeros":
            x = pad(x, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            padding = (0, 0)
        result: Tensor = atrous_conv2d(
            x,
            self.weight,
            self.bias,
            dilation=self.dilation,
            stride=self.stride,
            padding=padding,
            groups=self.groups,
            algorithm=self.algorithm,
        )
        return result


class SeparableAtrousConv2d(nn.Module):
    """A depthwise atrous convolution and a 1 x 1 convolution (DeepLab v3+: Chen et al., ECCV 2018, section 3.1).

    Args:
        in_channels, out_channels: C and O.
        kernel_size, stride, dilation: of the depthwise convolution, whose padding is "same" for odd kernels.
        bias: of both convolutions.
        norm: batch normalisation and ReLU after the depthwise convolution, as in DeepLab v3+.

    Shape:
        x [N, C, H, W] -> [N, O, ceil(H / stride), ceil(W / stride)].
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        stride: int = 1,
        dilation: int = 1,
        bias: bool = False,
        norm: bool = False,
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"SeparableAtrousConv2d: kernel_size must be odd, got {kernel_size}")
        self.depthwise = AtrousConv2d(
            in_channels,
            in_channels,
            kernel_size,
            stride=stride,
            padding=dilation * (kernel_size // 2),
            dilation=dilation,
            groups=in_channels,
            bias=bias,
        )
        self.norm = nn.BatchNorm2d(in_channels) if norm else None
        self.pointwise = AtrousConv2d(in_channels, out_channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise(x)
        if self.norm is not None:
            x = self.norm(x).relu()
        result: Tensor = self.pointwise(x)
        return result
