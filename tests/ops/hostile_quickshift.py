"""pyseg.quickshift: every strange array, every option out of range or at its end; and the libraries themselves."""

from __future__ import annotations

import numpy as np
import torch
from hostile import arrays, case, huge, picture, with_value

import pyseg
from pyseg import _runtime
from pyseg.compat import skimage

OPTIONS = {
    "ratio": (
        [-1, -1e-300, np.nan, np.inf, 10**400, "1", None, 1j, [1.0], True],
        [0, 1e-300, 5e-324, 1, np.float16(1)],
    ),
    "kernel_size": (
        [0, 0.999, -1, np.nan, np.inf, -np.inf, 10**400, "5", None, 1j, [5.0], True],
        [1, 1e10, 1e300, 10**30, np.int8(2)],
    ),
    "max_dist": (
        [-1, -1e-300, -np.inf, -(10**400), np.nan, "1", None, 1j, [1.0], True],
        [0, 5e-324, 1e-30, 1e18, 1e19, 1e300, np.inf, 10**400],
    ),
    "sigma": ([-1, np.nan, np.inf, 10**400, "1", None, 1j, [1.0], [1, 1]], [5e-324, 1e-300, 1e5, 1e300, np.array(1.0)]),
    "convert2lab": (["yes", 2, 0.5, [True]], [None, 0, np.True_]),
    "rng": ([-1, "1", 1.0, True, [1], np.random.RandomState(0)], [0, 2**64, 10**30, np.uint8(3), None]),
    "start_label": ([-1, 2**31, 2**31 - 1, 2**31 - 672, 10**30, 0.0, None, True], [2**31 - 673, np.int64(4)]),
    "channel_axis": ([3, -4, 10**30, 1.0, "1", True, None], [0, 1, -3]),
    "return_tree": (["yes", 2, None], [True, 1, np.False_]),
    "return_stats": (["yes", 2, None], [True, 1]),
}
VOXELS = ("one voxel", "one column of voxels")


def quickshift_cases():
    for name, make, must in arrays():
        if "tiles" in name:  # a limit of slic's
            continue
        for options in ({}, {"kernel_size": 1.0, "return_tree": True, "rng": 1}):
            case(
                f"quickshift: {name} {options}",
                lambda m=make, o=options: pyseg.quickshift(m(), **o),
                "raises" if name in VOXELS else must,
            )
    for option, (wrong, fine) in OPTIONS.items():
        for must, values in (("raises", wrong), ("works", fine)):
            for i, value in enumerate(values):
                for dtype in ("uint8", "float32"):
                    options = {"kernel_size": 2.0} | {option: value}
                    call = lambda d=dtype, o=options: pyseg.quickshift(picture(dtype=d), **o)  # noqa: E731
                    case(f"quickshift: {option}={value!r:.40} ({i}) on {dtype}", call, must)
    for value in (1e19, 1e20, 3e36):  # whose squares are infinite
        image = with_value(value / 100, 24, 28)
        case(f"quickshift: {value} squared", lambda i=image: pyseg.quickshift(i, max_dist=np.inf), "works")
        case(f"quickshift: {value} by ratio", lambda v=value: pyseg.quickshift(picture(), ratio=v), "works")
    case("quickshift: ratio=1e300", lambda: pyseg.quickshift(picture(), ratio=1e300))
    case("quickshift: CIELAB of two channels", lambda: pyseg.quickshift(picture(9, 9, 2), convert2lab=True))
    wide = huge(2200, 2200)
    case("quickshift: a window of more than 2^22 pixels", lambda: pyseg.quickshift(wide, kernel_size=400))
    case("quickshift: noise for more than 2^31 pixels", lambda: pyseg.quickshift(huge(2**16, 2**16), rng=1))
    case("quickshift: an unknown option", lambda: pyseg.quickshift(picture(), colour=1))
    case("quickshift: no argument", lambda: pyseg.quickshift())
    torch_cases()
    compat_cases()
    bypass_cases()


def torch_cases():
    image = torch.rand(3, 24, 28)
    call = lambda x, **o: pyseg.quickshift(x, kernel_size=2, channel_axis=0, **o)  # noqa: E731
    case("quickshift: a tensor", lambda: call(image, return_stats=True, return_tree=True), "works")
    for dtype in ("bool", "int8", "int64", "complex64"):
        case(f"quickshift: a tensor of {dtype}", lambda d=dtype: call(image.to(getattr(torch, d))))
    for value in (float("nan"), float("inf")):
        case(f"quickshift: a tensor of {value}", lambda v=value: call(image * v))
    case("quickshift: a sparse tensor", lambda: call(image.to_sparse()))
    case("quickshift: a tensor of no memory", lambda: call(image.to("meta")))
    for shape in ((), (3,), (0, 5, 5), (3, 0, 5), (3, 5, 0), (1, 3, 5, 5)):
        case(f"quickshift: a tensor of shape {shape}", lambda s=shape: call(torch.rand(s)))
    case("quickshift: a wide tensor", lambda: call(torch.zeros(3, 1, 1).expand(3, 2**16, 2**16)))
    case("quickshift: a tensor of zero strides", lambda: call(torch.ones(3, 1, 1).expand(3, 30, 31)), "works")


def compat_cases():
    """By scikit-image's signature: more dtypes, and options in its words."""
    theirs = skimage.quickshift
    convertible = ("bool", "int", "uint", "longdouble")
    for name, make, must in arrays():
        if "tiles" not in name and "2^" not in name and "instead" not in name and "object" not in name:
            must = None if name.startswith("dtype") and any(d in name for d in convertible) else must
            case(
                f"quickshift as scikit-image's: {name}",
                lambda m=make: theirs(a := m(), convert2lab=a.ndim == 3 and a.shape[-1] == 3, kernel_size=2),
                "raises" if name in VOXELS else None if name.startswith("rank") or "float64" in name else must,
            )
    for option, values in {
        "ratio": ["1", None, np.nan], "kernel_size": [0.5, np.nan, np.inf, "5", None], "max_dist": [-1, np.nan, "1"],
        "sigma": [-1, np.nan, "1", 5e-324, 1e300, np.inf], "rng": [None, -1, "1", 1.5],
        "channel_axis": [3, -4, 1.0, None],
    }.items():  # fmt: skip
        for value in values:
            options = {"kernel_size": 2, option: value}
            case(f"quickshift as scikit-image's: {option}={value!r}", lambda o=options: theirs(picture(), **o), None)
    case("quickshift as scikit-image's: grey to CIELAB", lambda: theirs(picture(9, 9)))
    case("quickshift as scikit-image's: plain", lambda: theirs(picture(), return_tree=True), "works")


def bypass_cases():
    """The libraries themselves, without the checks in Python: only what memory safety needs."""

    def native(image, axes=(0, 1, 2), **options):
        full = {
            "ratio": 1.0, "kernel_size": 2.0, "max_dist": 5.0, "sigma": 0.0, "to_lab": False, "start_label": 0,
            "noise": None, "tree": True, "exact": False,
        }  # fmt: skip
        return _runtime.native().quickshift(image, axes, **(full | options))

    floats = picture(dtype="float32")
    noise = np.zeros((24, 28))
    case("native quickshift: plain", lambda: native(picture()), "works")
    for axes in ((0, 1, 3), (0, 0, 2), (0, 1, 1), (0, 1, 2**31 - 1)):
        case(f"native quickshift: axes {axes}", lambda a=axes: native(picture(), a))
    case("native quickshift: no channels of three axes", lambda: native(picture(), (0, 1, -1)), "works")
    for shape in ((24,), (28, 24), (24, 28, 1), (0, 0)):
        case(f"native quickshift: noise of shape {shape}", lambda s=shape: native(picture(), noise=np.zeros(s)))
    for value in (np.nan, np.inf, -np.inf):
        case(f"native quickshift: noise of {value}", lambda v=value: native(picture(), noise=noise + v))
        case(f"native quickshift: {value} as it is", lambda v=value: native(floats * v, noise=noise, exact=True))
    for value in (1e300, -1e300):
        for dtype in ("float32", "float64"):
            image = floats.astype(dtype)
            case(
                f"native quickshift: noise of {value}, {dtype}",
                lambda v=value, i=image: native(i, noise=noise + v),
                "works",
            )
            call = lambda v=value, i=image: native(i, noise=noise + v, exact=True)  # noqa: E731
            case(f"native quickshift: exact, noise of {value}, {dtype}", call, "works")
    case("native quickshift: exact of bytes", lambda: native(picture(), noise=noise, exact=True))
    case("native quickshift: exact without noise", lambda: native(floats, exact=True))
    for option, value in {"ratio": 2.0, "sigma": 1.0, "to_lab": True}.items():
        case(
            f"native quickshift: exact with {option}",
            lambda o=option, v=value: native(floats, noise=noise, exact=True, **{o: v}),
        )
    for option in ("ratio", "kernel_size", "max_dist", "sigma"):
        for value in (np.nan, -1.0, -np.inf):
            case(f"native quickshift: {option}={value}", lambda o=option, v=value: native(picture(), **{o: v}))
    for start in (-1, 2**31 - 1):
        case(f"native quickshift: start_label={start}", lambda s=start: native(picture(), start_label=s))
    case("native quickshift: CIELAB of a channel", lambda: native(picture(9, 9, 1), to_lab=True))

    def op(image, *, noise=None, kernel=2.0, start=0, lab=False):
        return torch.ops.pyseg.quickshift(image, 1.0, kernel, 5.0, 0.0, lab, start, noise, True)

    _runtime.torch_ops()
    image = torch.rand(2, 3, 24, 28)
    case("torch.ops.pyseg.quickshift: plain", lambda: op(image), "works")
    case("torch.ops.pyseg.quickshift: of none", lambda: op(image[:0]), "works")
    for shape in ((24, 28), (3, 24, 28), (1, 1, 3, 24, 28), (2, 0, 5, 5), (2, 3, 0, 5), (2, 3, 5, 0)):
        case(f"torch.ops.pyseg.quickshift: shape {shape}", lambda s=shape: op(torch.rand(s)))
    case("torch.ops.pyseg.quickshift: int64", lambda: op(image.long()))
    for shape in ((24, 28), (1, 24, 28), (2, 28, 24)):
        case(f"torch.ops.pyseg.quickshift: noise {shape}", lambda s=shape: op(image, noise=torch.rand(s).double()))
    case("torch.ops.pyseg.quickshift: noise of float32", lambda: op(image, noise=torch.rand(2, 24, 28)))
    case("torch.ops.pyseg.quickshift: kernel_size 0", lambda: op(image, kernel=0.0))
    case("torch.ops.pyseg.quickshift: CIELAB of a channel", lambda: op(image[:, :1], lab=True))
    for start in (-1, 2**31, 2**40):
        case(f"torch.ops.pyseg.quickshift: start_label {start}", lambda s=start: op(image, start=s))
