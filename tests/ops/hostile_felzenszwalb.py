"""pyseg.felzenszwalb: every strange array, every option out of range or at its end, and the libraries themselves."""

from __future__ import annotations

import numpy as np
import torch
from hostile import arrays, case, picture, with_value

import pyseg
from pyseg import _runtime

OPTIONS = {
    "scale": (
        [0, -1, -1e-300, np.nan, np.inf, -np.inf, 10**400, -(10**400), "1", None, 1j, [1.0], True],
        [1e300, 1.7e308, 5e-324, 1e-42, 10**30, np.float16(3), np.array(2.0)],
    ),
    "sigma": (
        [-1, -5e-324, 1000.1, 1e300, np.nan, np.inf, 10**400, "1", None, 1j, [1, 1], {}],
        [0, 5e-324, 1e-300, 0.1249, 0.125, 60, 1000, np.float16(1), np.array(1.0)],
    ),
    "min_size": (
        [-1, -(10**30), 1.0, np.nan, "4", None, True, [4]],
        [0, 1, 671, 672, 673, 2**31, 2**63, 10**30, np.int8(4)],
    ),
    "start_label": ([-1, 2**31, 2**31 - 1, 2**31 - 672, 10**30, 0.0, None], [2**31 - 673]),
    "channel_axis": ([3, -4, 10**30, 1.0, "1", True, None], [0, 1, -3]),
    "return_stats": (["yes", 2, None], [True, 1]),
}

# What slic refuses and this does not, and the other way round.
OTHERWISE = {
    "one voxel": "raises",
    "one column of voxels": "raises",
    "the largest float32": "works",
    "more than 2^31 pixels with those of its tiles": None,  # no limit here, and too many for a test
}


def felzenszwalb_cases():
    segment = pyseg.felzenszwalb
    for name, make, must in arrays():
        must = OTHERWISE.get(name, must)
        for options in ({}, {"scale": 1e5, "sigma": 0, "min_size": 0}):
            if must is not None:
                case(f"felzenszwalb: {name} {options}", lambda m=make, o=options: segment(m(), **o), must)
    for value in (1.0001e150, -1e151, np.finfo("f8").max, -np.finfo("f8").max):
        case(f"felzenszwalb: {value}", lambda v=value: segment(with_value(v, dtype="float64")))
    for value in (1e150, -1e150, 5e-324):
        case(f"felzenszwalb: {value}", lambda v=value: segment(with_value(v, dtype="float64")), "works")
    case("felzenszwalb: all the largest", lambda: segment(np.full((24, 28), 1e150)), "works")
    case(
        "felzenszwalb: all of opposite signs", lambda: segment(np.indices((24, 28)).sum(0) % 2 * 2e150 - 1e150), "works"
    )
    for option, (wrong, fine) in OPTIONS.items():
        for must, values in (("raises", wrong), ("works", fine)):
            for i, value in enumerate(values):
                for dtype in ("uint8", "float32"):
                    call = lambda d=dtype, o=option, v=value: segment(picture(dtype=d), **{o: v})  # noqa: E731
                    case(f"felzenszwalb: {option}={str(value)[:40]!r} on {dtype} ({i}, {must})", call, must)
    case("felzenszwalb: an unknown option", lambda: segment(picture(), colour=1))
    case("felzenszwalb: no argument", lambda: segment())
    case("felzenszwalb: a million of one colour", lambda: segment(np.zeros((1000, 1000), "u1")), "works")
    case("felzenszwalb: a million in a row", lambda: segment(picture(1, 10**6)), "works")
    case("felzenszwalb: a million in a column", lambda: segment(picture(10**6, 1)), "works")
    torch_cases()
    library_cases()


def torch_cases():
    segment = pyseg.felzenszwalb
    for dtype in ("bool", "int8", "int64", "complex64"):
        case(f"felzenszwalb: a tensor of {dtype}", lambda d=dtype: segment(torch.zeros(9, 9, dtype=getattr(torch, d))))
    for shape in ((0, 5, 3), (5, 0, 3), (5, 5, 0), (2, 2, 2, 2), (7,), ()):
        case(f"felzenszwalb: a tensor of shape {shape}", lambda s=shape: segment(torch.rand(s)))
    for value in (float("nan"), float("inf")):
        case(f"felzenszwalb: a tensor of {value}", lambda v=value: segment(torch.rand(24, 28, 3) * v))
    case("felzenszwalb: a sparse tensor", lambda: segment(torch.rand(24, 28).to_sparse()))
    case("felzenszwalb: a tensor of no memory", lambda: segment(torch.rand(24, 28, device="meta")))
    wide = torch.zeros(1, 1, 3).expand(2**16, 2**16, 3)
    case("felzenszwalb: a tensor of more than 2^31 pixels", lambda: segment(wide))
    zero_strides = torch.ones(1, 1, 3).expand(30, 31, 3)
    case("felzenszwalb: a tensor of zero strides", lambda: segment(zero_strides), "works")
    half = torch.rand(24, 28, 3).bfloat16()
    case("felzenszwalb: bfloat16 with statistics", lambda: segment(half, return_stats=True), "works")


def library_cases():
    """Without the checks in Python: only what memory safety needs."""

    def native(image, axes=(0, 1, 2), scale=1.0, sigma=0.8, min_size=20, start=0, kernel=()):
        return _runtime.native().felzenszwalb(image, axes, scale, sigma, min_size, start, kernel)

    case("native: felzenszwalb", lambda: native(picture()), "works")
    for axes in ((0, 1, 3), (0, 0, 2), (0, 1, 1), (-1, 1, 2), (0, -1, 2), (-1, -1, -1), (2**31 - 1, 1, 2), (-2, 0, 1)):
        case(f"native: felzenszwalb, axes {axes}", lambda a=axes: native(picture(), a))
    for option, values in {
        "scale": (0.0, -1.0, np.nan, np.inf),
        "sigma": (-1.0, 1e30, np.nan, np.inf),
        "min_size": (-1, -(2**63)),
        "start": (-1, 2**31 - 1),
        "kernel": ([np.nan], [1.0, -0.1], [2.0], [0.1] * 4002),
    }.items():
        for i, value in enumerate(values):
            case(f"native: felzenszwalb, {option} {i}", lambda o=option, v=value: native(picture(), **{o: v}))
    case("native: felzenszwalb, the largest kernel", lambda: native(picture(), kernel=[1.0] * 4001), "works")

    def op(image, scale=1.0, sigma=0.8, min_size=20, start=0):
        return torch.ops.pyseg.felzenszwalb(image, scale, sigma, min_size, start)

    _runtime.torch_ops()
    image = torch.rand(2, 3, 24, 28)
    case("torch.ops: felzenszwalb", lambda: op(image), "works")
    case("torch.ops: felzenszwalb of an image", lambda: op(image[0]))
    case("torch.ops: felzenszwalb of int64", lambda: op(image.long()))
    for shape in ((2, 0, 5, 5), (2, 3, 0, 5), (2, 3, 5, 0)):
        case(f"torch.ops: felzenszwalb of shape {shape}", lambda s=shape: op(torch.rand(s)))
    for start in (-1, 2**31, 2**40):
        case(f"torch.ops: felzenszwalb, start_label {start}", lambda s=start: op(image, start=s))
