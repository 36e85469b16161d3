"""pyseg.turbopixels: every strange array, every option out of range or at its end, and without the checks in Python."""

from __future__ import annotations

import numpy as np
import torch
from hostile import arrays, case, picture

import pyseg
from pyseg import _runtime

_NUMBERS = [-1, np.nan, np.inf, -np.inf, -(10**400), 10**400, "1", None, 1j, [1.0]]
_POSITIVE = [0, *_NUMBERS]
OPTIONS = {
    "n_segments": ([0, -1, -(10**30), 1.5, "4", None, True, [4], np.nan], [10**30, 2**31, 2**63, np.int8(4)]),
    "alpha": (_NUMBERS, [0, 5e-324, 1e30, 1e300, np.float16(0.5), np.array(0.3)]),
    "beta": (_NUMBERS, [0, 5e-324, 1e30, 1e300, 10**30]),
    "nu": (_POSITIVE, [5e-324, 1e-40, 1e300, 10**30]),
    "gamma": (_POSITIVE, [5e-324, 1e-40, 1e300, 10**30]),
    "sigma": ([v for v in _POSITIVE if v is not None], [5e-324, 1e-300, 0.01, 1e5, 1e300, None]),
    "max_iter": ([-1, 1.0, "1", None, -(2**70), True], [0, np.uint8(2)]),
    "start_label": ([-1, 2**31, 2**31 - 1, 2**31 - 672, 10**30, 0.0, None], [2**31 - 673]),
    "channel_axis": ([3, -4, 10**30, 1.0, "1", True, None], [0, 1, -3]),
    "enforce_connectivity": (["yes", 2, None], [0, np.True_]),
    "return_stats": (["yes", 2, None], [True, 1]),
}


def turbopixels_cases():
    for name, make, must in arrays():
        if "voxel" in name or "depth" in name:
            must = "raises"
        elif "the largest" in name:  # there is no CIELAB that could overflow; a float64 beyond float32 is infinite
            must = "works" if "float32" in name else "raises"
        for options in ({}, {"n_segments": 2}):
            if must == "works" or not options or "NaN" in name or "2^" in name:
                case(f"turbopixels: {name} {options}", lambda m=make, o=options: pyseg.turbopixels(m(), **o), must)
    for option, (wrong, fine) in OPTIONS.items():
        for must, values in (("raises", wrong), ("works", fine)):
            for i, value in enumerate(values):
                for dtype in ("uint8", "float32"):
                    options = {"n_segments": 12, "max_iter": 20} | {option: value}
                    call = lambda d=dtype, o=options: pyseg.turbopixels(picture(dtype=d), **o)  # noqa: E731
                    case(f"turbopixels: {option}={repr(value)[:40]} on {dtype} ({i})", call, must)
    case("turbopixels: an unknown option", lambda: pyseg.turbopixels(picture(), colour=1))
    case("turbopixels: options by place", lambda: pyseg.turbopixels(picture(), 12, 0.3))
    case("turbopixels: no argument", lambda: pyseg.turbopixels())
    _tensors()
    _bypass()


def _tensors():
    wide = torch.zeros(1, 1, 1).expand(3, 2**16, 2**16)
    case("turbopixels: tensor of more than 2^31 pixels", lambda: pyseg.turbopixels(wide, channel_axis=0))
    case("turbopixels: sparse tensor", lambda: pyseg.turbopixels(torch.rand(24, 28).to_sparse(), 12))
    case("turbopixels: tensor of no memory", lambda: pyseg.turbopixels(torch.rand(24, 28, device="meta"), 12))
    for shape in ((), (5,), (0, 5), (5, 0), (5, 5, 0), (2, 3, 24, 28)):
        case(f"turbopixels: tensor {shape}", lambda s=shape: pyseg.turbopixels(torch.rand(s), 12))
    for dtype in ("bool", "int8", "int64", "complex64"):
        case(
            f"turbopixels: tensor of {dtype}", lambda d=dtype: pyseg.turbopixels(torch.ones(9, 9).to(getattr(torch, d)))
        )
    for value in (float("nan"), float("inf")):
        case(f"turbopixels: tensor of {value}", lambda v=value: pyseg.turbopixels(torch.rand(24, 28) * v, 12))
        case(
            f"turbopixels: tensor of {value}, each its own", lambda v=value: pyseg.turbopixels(torch.rand(9, 9) * v, 99)
        )
    half = torch.rand(24, 28, 3).bfloat16()
    case("turbopixels: bfloat16 with statistics", lambda: pyseg.turbopixels(half, 12, return_stats=True), "works")
    zero = torch.ones(1, 1, 3).expand(30, 31, 3)
    case("turbopixels: zero strides", lambda: pyseg.turbopixels(zero, 12), "works")


def _bypass():
    """The libraries themselves, without the checks in Python: only what memory safety needs."""
    full = {
        "n_segments": 12, "alpha": 0.3, "beta": 1.0, "nu": 0.08, "gamma": 10.0, "sigma": 0.0, "max_iter": 20,
        "enforce_connectivity": True, "start_label": 0,
    }  # fmt: skip
    wrong = {
        "n_segments": (0, -1), "alpha": (-1.0, np.nan, np.inf), "beta": (-1.0, np.nan, np.inf), "nu": (0.0, np.nan),
        "gamma": (0.0, -1.0, np.nan), "sigma": (-1.0, np.nan, np.inf), "max_iter": (-1,),
        "start_label": (-1, 2**31 - 2),
    }  # fmt: skip

    def native(image, axes=(-1, 0, 1, 2), **options):
        return _runtime.native().turbopixels(image, axes, **(full | options))

    def op(image, **options):
        return torch.ops.pyseg.turbopixels(image, *(full | options).values())

    _runtime.torch_ops()
    image = torch.rand(2, 3, 24, 28)
    case("native turbopixels: plain", lambda: native(picture()), "works")
    case("torch.ops.turbopixels: plain", lambda: op(image), "works")
    for option, values in wrong.items():
        for value in values:
            case(f"native turbopixels: {option}={value}", lambda o=option, v=value: native(picture(), **{o: v}))
            case(f"torch.ops.turbopixels: {option}={value}", lambda o=option, v=value: op(image, **{o: v}))
    for axes in ((0, 1, 2, 3), (-1, 0, 0, 2), (-1, 0, 1, 1), (0, 0, 0, 0), (-1, 2**31 - 1, 1, 2)):
        case(f"native turbopixels: axes {axes}", lambda a=axes: native(picture(), a))
    case("native turbopixels: a volume", lambda: native(picture(4, 5, 6), (0, 1, 2, -1)))
    case("torch.ops.turbopixels: of none", lambda: op(image[:0]), "works")
    for start in (2**31, 2**40):
        case(f"torch.ops.turbopixels: start_label {start}", lambda s=start: op(image, start_label=s))
    for shape in ((24, 28), (3, 24, 28), (1, 3, 4, 24, 28), (2, 0, 5, 5), (2, 3, 0, 5), (2, 3, 5, 0)):
        case(f"torch.ops.turbopixels: shape {shape}", lambda s=shape: op(torch.rand(s)))
    case("torch.ops.turbopixels: int64", lambda: op(image.long()))
