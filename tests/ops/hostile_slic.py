"""pyseg.slic: every strange array, every option out of range or at its end."""

from __future__ import annotations

import numpy as np
from hostile import arrays, case, huge, picture

import pyseg

OPTIONS = {
    "n_segments": ([0, -1, -(10**30), 1.5, "4", None, True, [4], np.nan], [10**30, 2**31, 2**63, np.int8(4)]),
    "compactness": (
        [0, -1, np.nan, np.inf, -np.inf, -(10**400), 10**400, "1", None, 1j, [1.0]],
        [1e300, 5e-324, 10**30],
    ),
    "max_iter": ([-1, 1.0, "1", None, -(2**70)], [0, np.uint8(2)]),
    "tol": ([-1, -1e-300, np.nan, "0", 1j, -np.inf, -(10**400)], [0, 1e300, np.inf, 10**400, None]),
    "sigma": (
        [-1, np.nan, np.inf, 10**400, [1], [1, 1, 1], [1, -1], [np.nan, 0], "1", [], {}, 1j, [[1, 1]]],
        [1e-300, 5e-324, 1e6, 1e300, (0, 1e5), np.array([0.5, 1]), np.array(1.0), np.float16(1), None],
    ),
    "convert2lab": (["yes", 2, 0.5, [True]], [None, 0, np.True_]),
    "slic_zero": (["yes", 2, None], [1, np.False_]),
    "enforce_connectivity": (["yes", 2, None], [0]),
    "min_size_factor": ([-1, np.nan, np.inf, "1", None], [0, 5e-324, 1e10, 1e18, 1e300]),
    "start_label": ([-1, 2**31, 2**31 - 1, 2**31 - 672, 10**30, 0.0, None], [2**31 - 673]),
    "mask": (
        [np.zeros((24, 28), bool), np.ones((28, 24)), np.ones((24, 28, 1), bool), np.ones(3, bool), 1, "mask", []],
        [
            np.ones((24, 28), bool), np.eye(24, 28), np.full((24, 28), np.nan), huge(24, 28, value=1),
            np.eye(24, 28, dtype=">i4"),
        ],
    ),
    "spacing": (
        [0, -1, np.nan, np.inf, [1], [1, 1, 1], [1, 0], "1", []],
        [(1, 1e60), (1, 1e-60), (1e-100, 1e-100), None],
    ),
    "channel_axis": ([3, -4, 10**30, 1.0, "1", True], [0, 1, -3]),
    "initial_centers": (
        [
            np.zeros((0, 2)), np.zeros((4, 3)), np.zeros((4, 6)), np.zeros(4), np.full((4, 2), np.nan),
            np.full((4, 2), np.inf), np.full((4, 5), -np.inf), np.full((4, 2), "1"), np.full((4, 2), None),
            np.zeros((4, 2), complex), [[1, 2]], 5, huge(2**16, 2, 2**16),
        ],
        [
            np.full((4, 2), 1e308), np.full((4, 5), -1e308), np.full((4, 5), 1e30), np.zeros((5000, 2)),
            np.full((300, 2), 1e-320), huge(4, 2, dtype="int8"), np.zeros((4, 2), ">f4"), np.zeros((1, 5), "float16"),
        ],
    ),
    "return_stats": (["yes", 2, None], [True, 1]),
}  # fmt: skip


def slic_cases():
    for name, make, must in arrays():
        for options in ({}, {"n_segments": 2}, {"n_segments": 2, "slic_zero": True}):
            if must == "works" or not options or "NaN" in name or "2^" in name:
                case(f"slic: {name} {options}", lambda m=make, o=options: pyseg.slic(m(), **o), must)
    for option, (wrong, fine) in OPTIONS.items():
        for must, values in (("raises", wrong), ("works", fine)):
            for i, value in enumerate(values):
                for dtype in ("uint8", "float32"):
                    options = {"n_segments": 12, "max_iter": 3} | {option: value}
                    text = repr(value)[:40]
                    if isinstance(value, np.ndarray):
                        text = f"{value.dtype}{list(value.shape)} that {must} ({i})"
                    call = lambda d=dtype, o=options: pyseg.slic(picture(dtype=d), **o)  # noqa: E731
                    case(f"slic: {option}={text} on {dtype}", call, must)
    mask = np.ones((24, 28), bool)
    for spacing in (1e-300, 1e300, 1e308, 5e-324, (1e-200, 1e200), (1, 1e60), (1e60, 1)):
        for inside in (None, mask):
            case(
                f"slic: spacing={spacing} {'' if inside is None else 'in a mask'}",
                lambda s=spacing, m=inside: pyseg.slic(picture(dtype="float32"), 12, mask=m, spacing=s),
                None,
            )
    case("slic: an unknown option", lambda: pyseg.slic(picture(), colour=1))
    case("slic: no argument", lambda: pyseg.slic())
    case("slic: a volume of many slices", lambda: pyseg.slic(picture(4000, 2, 2, 3), 50), "works")
