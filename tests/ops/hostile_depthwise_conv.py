"""pyseg.depthwise_conv2d: wrong kinds, shapes and values of every argument, and without the checks in Python."""

from __future__ import annotations

import numpy as np
import torch
from hostile import case, kept

import pyseg
from pyseg import _runtime

WRONG = {
    "stride": [0, -1, 1.5, "2", None, True, (1,), (1, 1, 1), (1, 0), 2**31, 10**30],
    "padding": [-1, 1.5, "full", None, (1, -1), (1, 2, 3), 2**31, [1.0, 1], ("same", 1)],
    "dilation": [0, -1, 1.5, "2", None, (2,), (2, 0), 2**31, 10**30, 2**31 - 1],
    "activation": ["gelu", "RELU", 1, True, b"relu"],
}
FINE = {
    "stride": [1, 3, np.int8(2), (9, 1)],
    "padding": [0, "valid", (3, 0), [2, 2], np.int64(1)],
    "dilation": [1, 4, (1, 3), np.int16(2)],
    "activation": [None, "relu"],
}


def _x(*shape, dtype="float32"):
    return kept(np.random.default_rng(0).standard_normal(shape or (1, 20, 13, 14)).astype(dtype))


def depthwise_conv_cases():
    ways = {"array": lambda a: a, "tensor": torch.from_numpy}
    for way, of in ways.items():
        call = lambda x, w, *b, of=of, **o: pyseg.depthwise_conv2d(of(x), of(w), *map(of, b), **o)  # noqa: E731
        for must, options in (("raises", WRONG), ("works", FINE)):
            for option, values in options.items():
                for i, value in enumerate(values):
                    rest = {"padding": 0} if option in ("stride", "dilation") else {}
                    full = rest | {option: value}
                    name = f"depthwise_conv2d: {way}, {option}={repr(value)[:30]} ({i})"
                    case(name, lambda c=call, o=full: c(_x(), _x(20, 1, 3, 3), **o), must)
        for shape in ((), (5,), (5, 5), (1, 1, 20, 13, 14), (1, 0, 13, 14)):
            case(f"depthwise_conv2d: {way}, x {shape}", lambda c=call, s=shape: c(np.zeros(s, "f4"), _x(20, 1, 3, 3)))
        for shape in ((), (20,), (20, 3, 3), (20, 2, 3, 3), (19, 1, 3, 3), (0, 1, 3, 3), (20, 1, 0, 3), (20, 1, 3, 0)):
            case(
                f"depthwise_conv2d: {way}, weight {shape}", lambda c=call, s=shape: c(_x(), np.zeros(s, "f4")), "raises"
            )
        for shape in ((), (19,), (1,), (20, 1)):
            case(
                f"depthwise_conv2d: {way}, bias {shape}",
                lambda c=call, s=shape: c(_x(), _x(20, 1, 3, 3), np.zeros(s, "f4")),
            )
        for dtype in ("int32", "bool", "complex64", "uint8"):
            case(
                f"depthwise_conv2d: {way} of {dtype}",
                lambda c=call, d=dtype: c(np.ones((1, 4, 9, 9), d), np.ones((4, 1, 3, 3), d)),
            )
        case(f"depthwise_conv2d: {way}, dtypes differ", lambda c=call: c(_x(), _x(20, 1, 3, 3, dtype="float64")))
        case(f"depthwise_conv2d: {way}, too small", lambda c=call: c(_x(), _x(20, 1, 3, 3), padding=0, dilation=9))
        case(f"depthwise_conv2d: {way}, 'same' with stride", lambda c=call: c(_x(), _x(20, 1, 3, 3), stride=2))
        for value in (np.nan, np.inf, 3e38):
            case(
                f"depthwise_conv2d: {way} of {value}",
                lambda c=call, v=value: c(np.full((1, 20, 9, 9), v, "f4"), np.full((20, 1, 3, 3), v, "f4")),
                "works",
            )
        case(f"depthwise_conv2d: {way}, one pixel", lambda c=call: c(_x(1, 1, 1, 1), _x(1, 1, 3, 3)), "works")
        case(f"depthwise_conv2d: {way}, one row", lambda c=call: c(_x(1, 2, 1, 9000), _x(2, 1, 1, 501)), "works")
        case(f"depthwise_conv2d: {way}, a tall kernel", lambda c=call: c(_x(1, 2, 900, 3), _x(2, 1, 301, 2)), "works")
        case(
            f"depthwise_conv2d: {way}, a far padding",
            lambda c=call: c(_x(1, 2, 3, 3), _x(2, 1, 2, 2), padding=2**28, dilation=2**29),
            "works",
        )
    for value in (None, [[1]], "abc", 3, int):
        case(f"depthwise_conv2d: {value!r} instead of x", lambda v=value: pyseg.depthwise_conv2d(v, _x(20, 1, 3, 3)))
        case(f"depthwise_conv2d: {value!r} instead of weight", lambda v=value: pyseg.depthwise_conv2d(_x(), v))
        tensor = torch.zeros(1, 20, 9, 9)
        case(f"depthwise_conv2d: {value!r} beside a tensor", lambda v=value, t=tensor: pyseg.depthwise_conv2d(t, v))
    case(
        "depthwise_conv2d: sparse",
        lambda: pyseg.depthwise_conv2d(torch.eye(9)[None].to_sparse(), torch.ones(1, 1, 3, 3)),
    )
    case("depthwise_conv2d: arguments by place", lambda: pyseg.depthwise_conv2d(_x(), _x(20, 1, 3, 3), None, 1))
    _bypass()


def _bypass():
    """The libraries themselves, without the checks in Python: only what memory safety needs."""
    ops = _runtime.torch_ops()
    x, w, one = torch.rand(1, 20, 13, 14), torch.rand(20, 1, 3, 3), [1, 1]
    g = torch.rand(1, 20, 13, 14)
    native = lambda *a: _runtime.native().depthwise_conv2d(*a)  # noqa: E731
    a, k = x.numpy(), w.numpy()
    case("native depthwise_conv2d: plain", lambda: native(a, k, None, one, [1] * 4, one, False), "works")
    case("torch.ops.depthwise_conv2d: plain", lambda: ops.depthwise_conv2d(x, w, None, one, one, one, False), "works")
    for stride, padding, dilation in (
        ([0, 1], [1, 1], [1, 1]), ([1, 1], [-1, 1], [1, 1]), ([1, 1], [1, 1], [0, 1]), ([1], [1, 1], [1, 1]),
        ([1, 1], [1, 1, 1], [1, 1]), ([1, 1], [2**62, 1], [1, 1]), ([1, 1], [1, 1], [2**62, 1]),
        ([2**40, 1], [1, 1], [1, 1]),
    ):  # fmt: skip
        rest = (stride, padding, dilation)
        name = f"torch.ops.depthwise_conv2d: {rest}"
        case(name, lambda r=rest: ops.depthwise_conv2d(x, w, None, *r, False))
        case(f"{name}, input", lambda r=rest: ops.depthwise_conv2d_grad_input(g, x, w, *r))
        case(f"{name}, weight", lambda r=rest: ops.depthwise_conv2d_grad_weight(g, x, w, *r))
        ends = [padding[0], padding[0], padding[-1], padding[-1]]
        case(f"native {name}", lambda s=stride, e=ends, d=dilation: native(a, k, None, s, e, d, False), None)
    for name, wrong in {"small": g[:, :, 1:], "other channels": g[:, 1:], "rank": g[0], "double": g.double()}.items():
        case(f"torch.ops.grad_input: {name}", lambda t=wrong: ops.depthwise_conv2d_grad_input(t, x, w, one, one, one))
        case(f"torch.ops.grad_weight: {name}", lambda t=wrong: ops.depthwise_conv2d_grad_weight(t, x, w, one, one, one))
    for shape in ((20, 1, 3), (19, 1, 3, 3), (20, 2, 3, 3), (20, 1, 0, 3), (0, 1, 3, 3)):
        bad = torch.rand(shape)
        case(
            f"torch.ops.depthwise_conv2d: weight {shape}",
            lambda t=bad: ops.depthwise_conv2d(x, t, None, one, one, one, False),
        )
        case(
            f"native depthwise_conv2d: weight {shape}",
            lambda t=bad: native(a, t.numpy(), None, one, [1] * 4, one, False),
        )
    case("torch.ops.depthwise_conv2d: bias", lambda: ops.depthwise_conv2d(x, w, torch.rand(3), one, one, one, False))
    case("native depthwise_conv2d: bias", lambda: native(a, k, np.zeros(3, "f4"), one, [1] * 4, one, False))
    case(
        "torch.ops.depthwise_conv2d: int64",
        lambda: ops.depthwise_conv2d(x.long(), w.long(), None, one, one, one, False),
    )
    case(
        "torch.ops.depthwise_conv2d: half weight", lambda: ops.depthwise_conv2d(x, w.half(), None, one, one, one, False)
    )
    case(
        "native depthwise_conv2d: int64", lambda: native(a.astype("i8"), k.astype("i8"), None, one, [1] * 4, one, False)
    )
    case("torch.ops.grad_bias: rank", lambda: ops.depthwise_conv2d_grad_bias(g[0]))
