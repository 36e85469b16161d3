"""Atrous (dilated) convolution (Chen et al., "DeepLab", TPAMI 2018, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyseg import _runtime, backends
from pyseg._arrays import Array, is_torch, to_numpy
from pyseg._check import integer
from pyseg.ops.depthwise_conv import depthwise_conv2d

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ALGORITHMS", "atrous_conv2d", "choose_algorithm", "out_size"]

Size = int | Sequence[int]

_CHOICES = ("auto", "direct", "winograd", "fast", "torch")
ALGORITHMS = {"direct": 0, "winograd": 1, "winograd4": 2, "pointwise": 3}


_MOST = 2**31 - 1


def _pair(name: str, value: Size, low: int) -> tuple[int, int]:
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        number = integer("atrous_conv2d", name, value, low, _MOST)
        return number, number
    values = [integer("atrous_conv2d", name, v, low, _MOST) for v in value]
    if len(values) != 2:
        raise ValueError(f"atrous_conv2d: {name} must be an integer or two, (y, x), got {len(values)} values")
    return values[0], values[1]


def _padding(
    padding: Size | str, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns before, and those after beyond as many ("same" with an even reach)."""
    if isinstance(padding, str):
        if padding == "valid":
            return (0, 0), (0, 0)
        if padding != "same":
            raise ValueError(f"atrous_conv2d: padding must be 'same', 'valid' or integers, got {padding!r}")
        if stride != (1, 1):
            raise ValueError(f"atrous_conv2d: padding 'same' needs stride 1, got {stride}")
        reach = dilation[0] * (kernel[0] - 1), dilation[1] * (kernel[1] - 1)
        return (reach[0] // 2, reach[1] // 2), (reach[0] % 2, reach[1] % 2)
    return _pair("padding", padding, 0), (0, 0)


def out_size(size: Sequence[Any], kernel: Any, stride: Any, padding: Any, dilation: Any) -> list[Any]:
    """Height and width of a convolution's output, from those of its input."""
    return [(size[i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in range(2)]


def choose_algorithm(
    channels: int,
    outputs: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    size: tuple[int, int],
    channels_last: bool,
    threads: int,
) -> str:
    """What "auto" takes for a dense float32 convolution on the CPU: "winograd", "direct", "pointwise" or "torch".

    The rule is that of benchmarks/results/atrous_conv.md: pieces win where products outweigh transforms; our matrix
    products are ahead of torch's on one thread where they are deep, and of its planes where these are not whole
    vectors.
    """
    if stride != (1, 1) or min(channels, outputs) < 32 or size[0] * size[1] < 64:
        return "torch"
    if kernel == (3, 3):
        return "winograd"
    if kernel == (1, 1) and padding == (0, 0) and channels >= 256 and outputs >= 64:
        if channels_last:
            return "direct" if threads == 1 else "torch"
        deep = threads == 1 or channels >= 1024
        return "pointwise" if deep and size[0] * size[1] % 16 else "torch"
    return "torch"


def atrous_conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    dilation: Size,
    stride: Size = 1,
    padding: Size | str = "same",
    groups: int = 1,
    activation: str | None = None,
    algorithm: str = "auto",
) -> Any:
    """Atrous convolution: ``torch.nn.functional.conv2d``, faster where the rate is the point.

    Args:
        x: [N, C, H, W] (or [C, H, W]), a torch tensor (float32, bfloat16, float16, float64; contiguous or
            channels_last, which the result keeps) or a NumPy array.
        weight: [O, C / groups, kh, kw], of the dtype of ``x``.
        bias: [O], or None.
        dilation: the rate, in pixels; one integer or (y, x).
        stride: in pixels. padding: pixels of zeros on each side; "same" keeps the size (stride 1), "valid" is 0.
        groups: of channels, each with its own part of the weights; ``groups == C`` is :func:`pyseg.depthwise_conv2d`.
        activation: "relu", or None.
        algorithm: "auto" takes the fastest that is as exact as torch's. "winograd" computes 3 x 3 kernels at stride 1
            by Winograd's F(2,3) and its relatives on the phases of the rate; "direct" takes any kernel and stride;
            "fast" is "winograd" with F(4,3) (see :mod:`pyseg.backends`), outside of training; "torch" is conv2d. Forced
            on half precision, ours compute in float32 and round once; float64 NumPy arrays are always "direct".

    Returns:
        [N, O, OH, OW] as conv2d's, of the dtype, device and memory format of ``x``.

    Raises:
        ValueError: shapes that do not fit, a value out of range, an algorithm that does not know this kernel or stride.
        TypeError: x, weight and bias of different dtypes or kinds; an algorithm forced on a dtype or device that it
            does not have.
    """
    if algorithm not in _CHOICES:
        raise ValueError(f"atrous_conv2d: algorithm must be one of {', '.join(_CHOICES)}, got {algorithm!r}")
    if activation not in (None, "relu"):
        raise ValueError(f"atrous_conv2d: activation must be 'relu' or None, got {activation!r}")
    for name, array in (("x", x), ("weight", weight), ("bias", bias)):
        if not hasattr(array, "shape") and not (array is None and name == "bias"):
            raise TypeError(f"atrous_conv2d: {name} must be a NumPy, CuPy or torch array, got {type(array).__name__}")
    steps, rate = _pair("stride", stride, 1), _pair("dilation", dilation, 1)
    parts = integer("atrous_conv2d", "groups", groups, 1)
    if len(x.shape) == 3:
        batch = atrous_conv2d(
            x[None], weight, bias, dilation=rate, stride=steps, padding=padding, groups=parts, activation=activation,
            algorithm=algorithm,
        )  # fmt: skip
        return batch[0]
    _check_shapes(x, weight, bias, parts)
    kernel = int(weight.shape[2]), int(weight.shape[3])
    before, beyond = _padding(padding, kernel, steps, rate)
    for i in range(2):
        padded, reach = x.shape[2 + i] + 2 * before[i] + beyond[i], rate[i] * (kernel[i] - 1) + 1
        if padded < reach:
            axis = ("height", "width")[i]
            raise ValueError(
                f"atrous_conv2d: the padded {axis} must be at least the kernel's reach, {reach} pixels, got {padded}"
            )
    arguments = (steps, before, beyond, rate, parts, activation == "relu", algorithm)
    if is_torch(x):
        return _on_torch(x, weight, bias, *arguments)
    return _on_numpy(x, weight, bias, *arguments)


def _check_shapes(x: Array, weight: Array, bias: Array | None, groups: int) -> None:
    if len(x.shape) != 4 or len(weight.shape) != 4:
        raise ValueError(
            "atrous_conv2d: x must be [N, C, H, W] or [C, H, W] and weight [O, C / groups, kh, kw], got "
            f"{list(x.shape)} and {list(weight.shape)}"
        )
    channels, outputs = x.shape[1], weight.shape[0]
    if channels != weight.shape[1] * groups:
        raise ValueError(
            f"atrous_conv2d: x must have {weight.shape[1]} x {groups} channels (weight's times groups), got {channels}"
        )
    if outputs % groups or outputs == 0 or 0 in weight.shape:
        raise ValueError(
            f"atrous_conv2d: weight must have outputs in multiples of groups ({groups}), and not be empty, got "
            f"{list(weight.shape)}"
        )
    if bias is not None and list(bias.shape) != [outputs]:
        raise ValueError(f"atrous_conv2d: bias must be [{outputs}], got {list(bias.shape)}")
    if x.shape[2] == 0 or x.shape[3] == 0 or channels == 0:
        raise ValueError(f"atrous_conv2d: x must have at least one channel and one pixel, got {list(x.shape)}")


def _on_torch(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    beyond: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    relu: bool,
    algorithm: str,
) -> Tensor:
    import torch
    import torch.nn.functional as F

    if not is_torch(weight) or (bias is not None and not is_torch(bias)):
        raise TypeError("atrous_conv2d: weight and bias must be tensors, as x is")
    activation = "relu" if relu else None
    if any(beyond):
        x = F.pad(x, (0, beyond[1], 0, beyond[0]))
    if algorithm == "auto" and groups > 1 and weight.shape[1] == 1 and weight.is_floating_point():
        y: Tensor = depthwise_conv2d(
            x, weight, bias, stride=stride, padding=padding, dilation=dilation, activation=activation
        )
        return y
    chosen = _chosen_for_torch(x, weight, bias, stride, padding, groups, algorithm)
    if chosen == "torch":
        y = F.conv2d(x, weight, bias, stride, padding, dilation, groups)
        return F.relu(y) if relu else y
    _runtime.load_torch()
    if x.dtype != weight.dtype or (bias is not None and x.dtype != bias.dtype):
        raise TypeError(f"atrous_conv2d: x, weight and bias must be of one dtype, got {x.dtype} and {weight.dtype}")
    dtype = x.dtype
    if dtype != torch.float32:
        x, weight, bias = x.float(), weight.float(), None if bias is None else bias.float()
    if groups == 1:
        y = torch.ops.pyseg.atrous_conv2d(x, weight, bias, stride, padding, dilation, chosen, relu)
    else:
        biases = [None] * groups if bias is None else bias.chunk(groups)
        y = torch.cat(
            [
                torch.ops.pyseg.atrous_conv2d(part, w, b, stride, padding, dilation, chosen, relu)
                for part, w, b in zip(x.chunk(groups, 1), weight.chunk(groups), biases, strict=True)
            ],
            1,
        )
    return y.to(dtype)


def _chosen_for_torch(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    groups: int,
    algorithm: str,
) -> str:
    import torch

    kernel = int(weight.shape[2]), int(weight.shape[3])
    if algorithm == "torch":
        return "torch"
    training = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, weight, bias))
    if algorithm == "auto":
        ours = x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32 and groups == 1
        if not ours or torch.is_autocast_enabled("cpu"):
            return "torch"
        last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
        size = x.shape[2], x.shape[3]
        threads = 2 if torch.compiler.is_compiling() else torch.get_num_threads()  # which cannot be traced
        chosen = choose_algorithm(x.shape[1], weight.shape[0], kernel, stride, padding, size, last, threads)
        fast = chosen == "winograd" and backends.allow_winograd4 and not training
        return "winograd4" if fast else chosen
    if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.bfloat16, torch.float16):
        raise TypeError(
            f"atrous_conv2d: algorithm {algorithm!r} needs float32, bfloat16 or float16 on the CPU, got {x.dtype} on "
            f"{x.device}"
        )
    return _forced(algorithm, kernel, stride, training)


def _forced(algorithm: str, kernel: tuple[int, int], stride: tuple[int, int], training: bool) -> str:
    if algorithm == "direct":
        return "direct"
    if kernel != (3, 3) or stride != (1, 1):
        raise ValueError(
            f"atrous_conv2d: algorithm {algorithm!r} needs a 3 x 3 kernel at stride 1, got {kernel} at {stride}"
        )
    return "winograd4" if algorithm == "fast" and not training else "winograd"


def _on_numpy(
    x: Array,
    weight: Array,
    bias: Array | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    beyond: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    relu: bool,
    algorithm: str,
) -> Any:
    values, back = to_numpy("atrous_conv2d", "x", x)
    w, _ = to_numpy("atrous_conv2d", "weight", weight)
    b = None if bias is None else to_numpy("atrous_conv2d", "bias", bias)[0]
    if values.dtype not in (np.float16, np.float32, np.float64) or algorithm == "torch":
        if algorithm == "torch":
            raise ValueError("atrous_conv2d: algorithm 'torch' needs tensors")
        raise TypeError(f"atrous_conv2d: x must be float16, float32 or float64, got {values.dtype}")
    if w.dtype != values.dtype or (b is not None and b.dtype != values.dtype):
        raise TypeError(f"atrous_conv2d: x, weight and bias must be of one dtype, got {values.dtype} and {w.dtype}")
    dtype = np.float64 if values.dtype == np.float64 else np.float32
    if any(beyond):
        values = np.pad(values, ((0, 0), (0, 0), (0, beyond[0]), (0, beyond[1])))
    kernel = w.shape[2], w.shape[3]
    if algorithm == "auto" and groups > 1 and w.shape[1] == 1:
        return back(
            depthwise_conv2d(
                values, w, b, stride=stride, padding=padding, dilation=dilation, activation="relu" if relu else None
            )
        )
    if algorithm == "auto":
        channels, outputs = w.shape[1], w.shape[0] // groups
        chosen = choose_algorithm(channels, outputs, kernel, stride, padding, values.shape[2:], False, 1)
        if chosen == "torch":
            chosen = "direct"
        if chosen == "winograd" and backends.allow_winograd4:
            chosen = "winograd4"
    else:
        chosen = _forced(algorithm, kernel, stride, training=False)
    geometry = (*stride, *padding, *dilation, 0 if dtype == np.float64 else ALGORITHMS[chosen])

    def one(part: NDArray[Any], kernels: NDArray[Any], shift: NDArray[Any] | None) -> NDArray[Any]:
        given = None if shift is None else np.ascontiguousarray(shift, dtype)
        result: NDArray[Any] = _runtime.native().atrous_conv2d(
            np.ascontiguousarray(part, dtype), np.ascontiguousarray(kernels, dtype), given, geometry, relu
        )
        return result

    if values.shape[0] == 0:
        size = out_size(values.shape[2:], kernel, stride, padding, dilation)
        return back(np.empty((0, w.shape[0], *size), values.dtype))
    biases = [None] * groups if b is None else np.split(b, groups)
    parts = zip(np.split(values, groups, 1), np.split(w, groups), biases, strict=True)
    result = np.concatenate([one(*part) for part in parts], 1) if groups > 1 else one(values, w, b)
    return back(result.astype(values.dtype, copy=False))
