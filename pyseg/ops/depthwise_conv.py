"""Depthwise convolution of any kernel, stride, padding and dilation: the depthwise half of atrous convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from pyseg import _runtime
from pyseg._arrays import Array, is_torch, to_numpy
from pyseg._check import integer

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["depthwise_conv2d"]

_OP = "depthwise_conv2d"
_MOST = 2**31 - 1
_NUMPY_DTYPES = ("float16", "float32", "float64")
_TORCH_DTYPES = (*_NUMPY_DTYPES, "bfloat16")


def _pair(name: str, value: Any, low: int) -> list[int]:
    """One integer for both axes, or one each."""
    if isinstance(value, (list, tuple)):
        if len(value) != 2:
            raise ValueError(f"{_OP}: {name} must be an integer or two, got {len(value)}")
        return [integer(_OP, name, v, low, _MOST) for v in value]
    return [integer(_OP, name, value, low, _MOST)] * 2


def _padding(value: Any, stride: list[int], dilation: list[int], kernel: Sequence[int]) -> list[int]:
    """Top, bottom, left, right."""
    if not isinstance(value, str):
        top, left = _pair("padding", value, 0)
        return [top, top, left, left]
    if value == "valid":
        return [0] * 4
    if value != "same":
        raise ValueError(f"{_OP}: padding must be 'same', 'valid', an integer or two, got {value!r}")
    if stride != [1, 1]:
        raise ValueError(f"{_OP}: padding 'same' must have stride 1, got {stride}")
    ends = []
    for d, k in zip(dilation, kernel, strict=True):
        total = d * (k - 1)
        ends += [total // 2, total - total // 2]
    return ends


def _check_shapes(x: Any, weight: Any, bias: Any, padding: list[int], dilation: list[int]) -> None:
    shape, kernel = list(x.shape), list(weight.shape)
    channels = shape[-3]
    if kernel[1] != 1 or channels < 1 or kernel[0] < 1 or kernel[0] % channels != 0:
        raise ValueError(f"{_OP}: weight must be [C * m, 1, kh, kw] with C = x's {channels} channels, got {kernel}")
    if bias is not None and list(bias.shape) != kernel[:1]:
        raise ValueError(f"{_OP}: bias must be [{kernel[0]}], got {list(bias.shape)}")
    for axis in (0, 1):
        taps, size = kernel[2 + axis], shape[axis - 2]
        if taps < 1:
            raise ValueError(f"{_OP}: weight must have 1 or more rows and columns, got {kernel}")
        padded, extent = size + padding[2 * axis] + padding[2 * axis + 1], dilation[axis] * (taps - 1) + 1
        if padded < extent:
            raise ValueError(
                f"{_OP}: x with its padding must be at least as large as the kernel, {extent} with its dilation, "
                f"got {padded}"
            )


def _check_ranks(x: Any, weight: Any) -> None:
    if len(x.shape) not in (3, 4):
        raise ValueError(f"{_OP}: x must be [N, C, H, W] or [C, H, W], got {list(x.shape)}")
    if len(weight.shape) != 4:
        raise ValueError(f"{_OP}: weight must be [C * m, 1, kh, kw], got {list(weight.shape)}")


def torch_is_faster(x: Tensor, weight: Tensor, dilation: Sequence[int]) -> bool:
    """Whether torch's own convolution is the faster one: ``benchmarks/results/depthwise_conv.md``.

    That is for bfloat16 alone, in kernels up to 3 x 3 with dilation up to 6, and in larger ones in channels_last
    without dilation. Torch's gradients take 3 to 30 times as long as ours there, except those of 3 x 3 without
    dilation, so that all other tensors which require gradients stay here.
    """
    import torch

    if x.dtype != torch.bfloat16:
        return False
    small = weight.shape[2] <= 3 and weight.shape[3] <= 3
    plain = all(d == 1 for d in dilation)
    trained = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    if small:
        return plain or (not trained and all(d <= 6 for d in dilation))
    last = x.shape[1] > 1 and x.stride(1) == 1 and not x.is_contiguous()
    return plain and last and not trained


def _on_numpy(
    x: Any, weight: Any, bias: Any, stride: list[int], padding: Any, dilation: list[int], relu: bool
) -> NDArray[Any]:
    array, back = to_numpy(_OP, "x", x)
    kernel, _ = to_numpy(_OP, "weight", weight)
    offset = None if bias is None else to_numpy(_OP, "bias", bias)[0]
    if array.dtype.name not in _NUMPY_DTYPES:
        raise TypeError(f"{_OP}: x must be one of {', '.join(_NUMPY_DTYPES)}, got {array.dtype}")
    for name, other in (("weight", kernel), ("bias", offset)):
        if other is not None and other.dtype != array.dtype:
            raise TypeError(f"{_OP}: {name} must have x's dtype, {array.dtype}, got {other.dtype}")
    _check_ranks(array, kernel)
    ends = _padding(padding, stride, dilation, kernel.shape[2:])
    _check_shapes(array, kernel, offset, ends, dilation)
    batch = array if array.ndim == 4 else array[None]
    inputs = [a if a is None or _whole_strides(a) else a.copy() for a in (batch, kernel, offset)]
    result = _runtime.native().depthwise_conv2d(*inputs, stride, ends, dilation, relu)
    return back(result if array.ndim == 4 else result[0])  # type: ignore[no-any-return]


def _whole_strides(a: NDArray[Any]) -> bool:
    """Strides of whole elements, and elements where the machine wants them?"""
    return bool(a.flags.aligned) and all(s % a.itemsize == 0 for s in a.strides)


def _on_torch(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: list[int], padding: Any, dilation: list[int], relu: bool
) -> Tensor:
    import torch

    _runtime.load_torch()
    for name, other in (("weight", weight), ("bias", bias)):
        if not is_torch(other) and not (other is None and name == "bias"):
            raise TypeError(f"{_OP}: {name} must be a torch tensor as x is, got {type(other).__name__}")
    tensors = [t for t in (x, weight, bias) if t is not None]
    if any(t.layout != torch.strided for t in tensors):
        raise TypeError(f"{_OP}: x, weight and bias must be dense tensors")
    device = x.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        narrowed = [t if t is None or t.dtype == torch.float64 else t.to(dtype) for t in (x, weight, bias)]
        x, weight, bias = narrowed  # type: ignore[assignment]
    if str(x.dtype).removeprefix("torch.") not in _TORCH_DTYPES:
        raise TypeError(f"{_OP}: x must be one of {', '.join(_TORCH_DTYPES)}, got {x.dtype}")
    for name, other in (("weight", weight), ("bias", bias)):
        if other is not None and (other.dtype != x.dtype or other.device != x.device):
            raise TypeError(
                f"{_OP}: {name} must have x's dtype and device, {x.dtype} on {x.device}, got {other.dtype} on "
                f"{other.device}"
            )
    _check_ranks(x, weight)
    ends = _padding(padding, stride, dilation, weight.shape[2:])
    _check_shapes(x, weight, bias, ends, dilation)
    batch = x if x.dim() == 4 else x.unsqueeze(0)
    if device not in ("cpu", "meta") or torch_is_faster(batch, weight, dilation):
        result = _torchs_own(batch, weight, bias, stride, ends, dilation, relu)
    else:
        result = torch.ops.pyseg.depthwise_conv2d(batch, weight, bias, stride, ends, dilation, relu)
    return result if x.dim() == 4 else result.squeeze(0)


def _torchs_own(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: list[int], ends: list[int], dilation: list[int], relu: bool
) -> Tensor:
    import torch.nn.functional as F

    top, bottom, left, right = ends
    if top != bottom or left != right:
        x = F.pad(x, (0, right - left, 0, bottom - top))  # 'same' of an even kernel: one more at the end
    result = F.conv2d(x, weight, bias, stride, (top, left), dilation, x.shape[1])
    return result.relu() if relu else result


def depthwise_conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: int | Sequence[int] = 1,
    padding: str | int | Sequence[int] = "same",
    dilation: int | Sequence[int] = 1,
    activation: str | None = None,
) -> Any:
    """Convolves every channel with kernels of its own: ``F.conv2d(..., groups=C)``, at any dilation at one speed.

    y[n, c * m + j, o] = bias[c * m + j] + sum over k of weight[c * m + j, 0, k] * x[n, c, o * stride + k * dilation -
    padding], where taps outside the image do not count (whatever the weight). float16 and bfloat16 are summed in
    float32. Deterministic, and the same for any number of threads, forward and backward.

    torch tensors on the CPU have gradients of every order with respect to x, weight and bias, whether compiled or not.
    CUDA tensors go to torch's own convolution, and so do tensors on the CPU where it is faster
    (:func:`pyseg.ops.depthwise_conv.torch_is_faster`: some of bfloat16); what it promises holds there.

    Args:
        x: [N, C, H, W] or [C, H, W]; float16, float32, float64, and bfloat16 of torch; any strides. Under torch's
            autocast, taken in its dtype, as by ``F.conv2d``.
        weight: [C * m, 1, kh, kw], of x's kind and dtype; m = 1 is the fast one.
        bias: [C * m], or None.
        stride: steps of rows and columns, or one for both.
        padding: zeros on each side of rows and columns; "valid" is none, "same" is as many as keep the size (stride 1
            alone; of an odd number the greater half at the bottom and right).
        dilation: distance of the taps (the rate of an atrous convolution).
        activation: "relu" for max(y, 0), in the same pass; NaN stays.

    Returns:
        [N, C * m, OH, OW] or [C * m, OH, OW], the kind, dtype and memory format of x (channels_last where the channels
        of x lie side by side).

    Raises:
        ValueError: shapes that do not fit together, a value out of range, an unknown word.
        TypeError: an unsupported dtype or kind of argument; dtypes or devices that differ.
    """
    if activation not in (None, "relu"):
        raise ValueError(f"{_OP}: activation must be None or 'relu', got {activation!r}")
    steps, rates = _pair("stride", stride, 1), _pair("dilation", dilation, 1)
    relu = activation == "relu"
    if is_torch(x):
        return _on_torch(x, weight, bias, steps, padding, rates, relu)
    return _on_numpy(x, weight, bias, steps, padding, rates, relu)
