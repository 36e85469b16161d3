"""pyseg.atrous_conv2d and pyseg.aspp: wrong kinds, shapes and values of every argument, and without Python's checks."""

from __future__ import annotations

import numpy as np
import torch
from hostile import case, kept

import pyseg
from pyseg import _runtime
from pyseg.ops import Branch

WRONG = {
    "stride": [0, -1, 1.5, "2", None, True, (1,), (1, 1, 1), (1, 0), 2**31, 10**30, 2],  # "same" needs stride 1
    "padding": [-1, 1.5, "full", None, (1, -1), (1, 2, 3), 2**31, [1.0, 1], ("same", 1)],
    "dilation": [0, -1, 1.5, "2", None, (2,), (2, 0), 2**31, 10**30],
    "groups": [0, -1, 3, 1.5, "1", None, 2**70],
    "activation": ["gelu", "RELU", 1, True, b"relu"],
    "algorithm": ["fft", None, 1, "winograd4", b"auto"],
}
FINE = {
    "stride": [1, np.int8(1), (1, 1)],
    "padding": [0, "valid", (3, 0), [2, 2], np.int64(1), 40],
    "dilation": [1, 4, (1, 3), np.int16(2), 2**20],
    "groups": [1, np.int64(1)],
    "activation": [None, "relu"],
    "algorithm": ["auto", "direct", "winograd", "fast"],
}


def _x(*shape, dtype="float32"):
    return kept(np.random.default_rng(0).standard_normal(shape or (1, 20, 13, 14)).astype(dtype))


def _call(of, algorithm):
    def call(x, w, *bias, **options):
        options = {"dilation": 2, "algorithm": algorithm} | options
        return pyseg.atrous_conv2d(of(x), of(w), *map(of, bias), **options)

    return call


def atrous_conv_cases():
    for way, of in {"array": lambda a: a, "tensor": torch.from_numpy}.items():
        for algorithm in ("auto", "direct", "winograd"):
            _options(f"atrous_conv2d: {way}, {algorithm}", _call(of, algorithm))
        _shapes(f"atrous_conv2d: {way}", _call(of, "direct"))
    _kinds()
    _bypass()
    _pyramids()


def _options(name, call):
    for must, options in (("raises", WRONG), ("works", FINE)):
        for option, values in options.items():
            for i, value in enumerate(values):
                case(
                    f"{name}, {option}={repr(value)[:30]} ({i})",
                    lambda o={option: value}: call(_x(), _x(24, 20, 3, 3), **o),
                    must,
                )
    for value in (np.nan, np.inf, 3e38, 1e-45):
        case(f"{name} of {value}", lambda v=value: call(np.full((1, 20, 9, 9), v, "f4"), _x(33, 20, 3, 3)), "works")
    for shape in ((1, 1, 1, 1), (3, 1, 1, 40), (1, 2, 900, 1), (0, 20, 5, 5), (2, 70, 2, 2)):
        case(f"{name}, x {shape}", lambda s=shape: call(_x(*s), _x(5, s[1], 3, 3)), "works")
    case(f"{name}, a rate beyond the image", lambda: call(_x(), _x(5, 20, 3, 3), dilation=2**28), "works")


def _shapes(name, call):
    for shape in ((), (5,), (5, 5), (1, 1, 20, 13, 14), (1, 0, 13, 14), (1, 20, 0, 14), (1, 20, 13, 0)):
        case(f"{name}, x {shape}", lambda s=shape: call(np.zeros(s, "f4"), _x(24, 20, 3, 3)), "raises")
    for shape in ((), (20,), (20, 3, 3), (24, 2, 3, 3), (24, 21, 3, 3), (0, 20, 3, 3), (24, 20, 0, 3), (24, 20, 3, 0)):
        case(f"{name}, weight {shape}", lambda s=shape: call(_x(), np.zeros(s, "f4")), "raises")
    for shape in ((), (19,), (1,), (24, 1)):
        case(f"{name}, bias {shape}", lambda s=shape: call(_x(), _x(24, 20, 3, 3), np.zeros(s, "f4")), "raises")
    for dtype in ("int32", "bool", "complex64", "uint8"):
        case(f"{name} of {dtype}", lambda d=dtype: call(np.ones((1, 4, 9, 9), d), np.ones((4, 4, 3, 3), d)), "raises")
    case(f"{name}, dtypes differ", lambda: call(_x(), _x(24, 20, 3, 3, dtype="float64")), "raises")
    case(f"{name}, a kernel beyond the image", lambda: call(_x(), _x(24, 20, 3, 3), padding=0, dilation=9), "raises")
    case(f"{name}, a wide kernel", lambda: call(_x(1, 2, 1, 900), _x(3, 2, 1, 501), dilation=1), "works")
    case(f"{name}, a far padding", lambda: call(_x(1, 2, 3, 3), _x(3, 2, 3, 3), padding=500), "works")
    case(f"{name}, read-only and backwards", lambda: call(_x()[:, :, ::-1].copy(), _x(24, 20, 3, 3)), "works")


def _kinds():
    w = torch.ones(4, 20, 3, 3)
    for i, x in enumerate((None, 3, "image", [[1.0]], object())):
        case(
            f"atrous_conv2d: x of {type(x).__name__} ({i})", lambda x=x: pyseg.atrous_conv2d(x, w, dilation=2), "raises"
        )
    case("atrous_conv2d: a tensor and an array", lambda: pyseg.atrous_conv2d(w, w.numpy(), dilation=2), "raises")
    case(
        "atrous_conv2d: an array backwards",
        lambda: pyseg.atrous_conv2d(_x()[:, ::-1, ::2], _x(5, 20, 3, 3), dilation=2),
        "works",
    )
    case(
        "atrous_conv2d: double on winograd",
        lambda: pyseg.atrous_conv2d(w.double(), w.double()[:, :20], dilation=1, algorithm="winograd"),
        "raises",
    )
    case(
        "atrous_conv2d: no memory",
        lambda: pyseg.atrous_conv2d(w.to("meta"), w.to("meta"), dilation=1, algorithm="direct"),
        "raises",
    )


def _bypass():
    ops, native = _runtime.torch_ops(), _runtime.native()
    x, w, out = torch.ones(1, 20, 9, 9), torch.ones(24, 20, 3, 3), torch.empty(1, 24, 9, 9)
    good = [3, 3, 1, 1, 2, 2, 2, 2, 1]
    for i in range(9):
        for value in (0, -1, 2**31, 2**62, -(2**62)):
            g = [*good[:i], value, *good[i + 1 :]]
            case(f"torch.ops.atrous_pack: geometry {i} = {value}", lambda g=g: ops.atrous_pack(w, 9, 9, g, False), None)
            case(
                f"torch.ops.atrous_forward: geometry {i} = {value}",
                lambda g=g: ops.atrous_forward(x, torch.zeros(10), g, None, None, False, out),
            )
            if i >= 2:
                case(
                    f"native: geometry {i} = {value}",
                    lambda g=g: native.atrous_conv2d(x.numpy(), w.numpy(), None, g[2:], False),
                    None,
                )
    for n in (0, 10, 2**16):
        case(
            f"torch.ops.atrous_forward: {n} packed values",
            lambda n=n: ops.atrous_forward(x, torch.zeros(n), good, None, None, False, out),
        )
    case("torch.ops.atrous_grad_weight: sizes", lambda: ops.atrous_grad_weight(x, torch.ones(1, 24, 8, 9), good))
    case("torch.ops.atrous_fingerprint: of none", lambda: ops.atrous_fingerprint(torch.ones(0, 1, 1, 1)), "works")


def _pyramids():
    x, one = torch.ones(1, 20, 9, 9), torch.ones(24)
    branch, project = Branch(torch.ones(24, 20, 3, 3), one, one, 2), Branch(torch.ones(24, 24, 1, 1), one, one)
    case("aspp: fine", lambda: pyseg.aspp(x, [branch], project), "works")
    case("aspp: an array", lambda: pyseg.aspp(x.numpy(), [branch], project), "raises")
    case("aspp: three dimensions", lambda: pyseg.aspp(x[0], [branch], project), "raises")
    case("aspp: a wrong pool", lambda: pyseg.aspp(x, [branch], project, pool=branch), "raises")
    case("aspp: a rate beyond all", lambda: pyseg.aspp(x, [Branch(branch.weight, one, one, 2**40)], project), "raises")
    case("aspp: a half", lambda: pyseg.aspp(x, [Branch(branch.weight.half(), one, one)], project), "raises")
