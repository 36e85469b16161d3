"""pyseg.max_pool* and max_unpool*: every strange array, every option out of range or at its end."""

from __future__ import annotations

import numpy as np
import torch
from hostile import arrays, case, huge, kept, picture

import pyseg
from pyseg import _runtime

OPTIONS = {
    "kernel_size": (
        [0, -1, 2.0, np.nan, "2", None, True, [], [2] * 4, 2**40, 10**30, [2, 0], 1j, {}],
        [1, 2, (2, 3), np.int8(2), np.array(2), torch.tensor(2), 15],
    ),
    "stride": ([0, -1, 1.5, "2", True, [2] * 4, 10**30, [1, 0]], [1, 7, 2**39, (2, 3), None, ()]),
    "padding": ([-1, 2, 0.5, "0", None, 2**62, [0, 2]], [0, 1, (1, 0)]),
    "dilation": ([0, -1, 24, 2**39, 1.0, None, 10**30], [1, 3, (2, 1)]),
    "ceil_mode": (["yes", 2, None], [True, False, 1]),
    "indices": (["int16", "uint16", None, 8, b"uint8"], ["uint8", "int32", "int64"]),
}


def max_unpool_cases():
    pool, unpool = pyseg.max_pool2d, pyseg.max_unpool2d
    for name, make, _ in arrays():
        if "2^" in name:
            continue
        for kernel in (1, 2):
            case(f"max_pool2d: {name}, {kernel}", lambda m=make, k=kernel: pool(m(), k), None)
            case(f"max_pool1d: {name}, {kernel}", lambda m=make, k=kernel: pyseg.max_pool1d(m(), k), None)
            case(f"max_pool3d: {name}, {kernel}", lambda m=make, k=kernel: pyseg.max_pool3d(m(), k), None)
        case(f"max_unpool2d: {name}", lambda m=make: unpool(m(), np.zeros((3, 4, 4), np.int64), 2), None)
        case(f"max_unpool2d: {name}, as indices", lambda m=make: unpool(np.zeros((3, 4, 4)), m(), 2), None)
        case(
            f"max_unpool2d: {name}, as out",
            lambda m=make: unpool(*pool(picture(3, 4, 4, dtype="f4"), 2), out=m()),
            None,
        )
    for shape in ((2, 2**16, 2**16), (1, 2**31, 2**20)):
        case(f"max_pool2d: nothing of {shape}", lambda s=shape: pool(huge(0, *s, dtype="float32"), 1), None)
    for option, (wrong, fine) in OPTIONS.items():
        for must, values in (("raises", wrong), ("works", fine)):
            for i, value in enumerate(values):
                for kind in ("NumPy", "torch"):

                    def call(o=option, v=value, k=kind):
                        x = picture(2, 3, 24, 28, dtype="float32")
                        return pool(torch.from_numpy(x) if k == "torch" else x, **({"kernel_size": 2} | {o: v}))

                    case(f"max_pool2d: {option}={str(value)[:40]!r} of {kind} ({i}, {must})", call, must)
    index_cases()


def index_cases():
    x = picture(2, 3, 8, 10, dtype="float32")
    y, at = pyseg.max_pool2d(x, 2, indices="int64")
    for value in (-1, -(2**63), 80, 2**31, 2**32, 2**32 + 3, 2**63 - 1):
        bad = at.copy()
        bad[1, 2, 3, 4] = value
        for size in (None, (8, 10), (7, 9)):
            case(
                f"max_unpool2d: index {value} {size}", lambda b=bad, s=size: pyseg.max_unpool2d(y, b, 2, output_size=s)
            )
            case(
                f"max_unpool2d: index {value} {size} of torch",
                lambda b=bad, s=size: pyseg.max_unpool2d(torch.from_numpy(y), torch.from_numpy(b), 2, output_size=s),
            )
    for size in ((), 8, (8,), (8, 10, 1, 1, 1), (0, 10), (-8, 10), (8.0, 10), "8", (2**62, 2**62), (8, 10**30), {}):
        case(f"max_unpool2d: output_size {size!r}", lambda s=size: pyseg.max_unpool2d(y, at, 2, output_size=s))
    for name in ("scale", "shift"):
        for value in (1.0, [1.0], np.ones(4), np.ones((3, 1)), "a", np.array(["a"] * 3), object()):
            case(
                f"max_unpool2d: {name} {str(value)[:20]!r}",
                lambda n=name, v=value: pyseg.max_unpool2d(y, at, 2, **{n: v}),
            )
        for value in (np.full(3, np.nan), np.full(3, np.inf, "f2"), np.arange(3)):
            case(
                f"max_unpool2d: {name} {value}", lambda n=name, v=value: pyseg.max_unpool2d(y, at, 2, **{n: v}), "works"
            )
    codes = pyseg.max_pool2d(x, 2)[1]
    for field, values in {
        "input_size": [(7, 9), (3, 3), (2**40, 2**40), (0, 0), (8,), None, (8.0, 10)],
        "kernel_size": [(0, 2), (2,), (300, 300), (2**50, 2), None, (2.0, 2)],
        "stride": [(0, 0), (-1, 2), (2**50, 2), None],
        "padding": [(-1, 0), (2**50, 0), None],
        "dilation": [(0, 1), (2**50, 1), None],
        "codes": [None, codes.codes[:1], at, codes.codes.astype("f4")],
    }.items():
        for i, value in enumerate(values):
            for kind in ("NumPy", "torch"):

                def call(f=field, v=value, k=kind):
                    mine = codes._replace(**{f: v})
                    if k == "NumPy":
                        return pyseg.max_unpool2d(kept(y.copy()), mine)
                    if isinstance(mine.codes, np.ndarray):
                        mine = mine._replace(codes=torch.from_numpy(mine.codes))
                    return pyseg.max_unpool2d(torch.from_numpy(y), mine)

                case(f"max_unpool2d: indices of {field} {i} of {kind}", call, None)


def max_unpool_bypass_cases():
    """The libraries themselves, without the checks in Python."""
    ops = _runtime.torch_ops()
    x = torch.rand(2, 3, 8, 10)
    w = [2, 2, 2, 2, 0, 0, 1, 1]
    _, codes = ops.max_pool(x, w, False, 0, False)
    y, at = ops.max_pool(x, w, False, 2, False)
    big = 2**62
    for i in range(8):
        for value in (-1, 0, 9, 2**20, 2**39, 2**62, -(2**63)):
            wild = [value if j == i else n for j, n in enumerate(w)]
            for last in (False, True):
                name = f"torch.ops: window {i} {value} {last}"
                case(f"{name} max_pool", lambda v=wild, z=last: ops.max_pool(x, v, True, 0, z), None)
                case(f"{name} max_gather", lambda v=wild, z=last: ops.max_gather(x, codes, v, z), None)
                for indices in (codes, at):
                    case(
                        f"{name} max_spread {indices.dtype}",
                        lambda v=wild, z=last, t=indices: ops.max_spread(
                            y, t, v, [8, 10], True, True, None, None, False, z
                        ),
                        None,
                    )
    for size in ([0, 0], [8], [8, 10, 1], [-1, 10], [big, big], [2**30, 2**30], [1, 1], [2**39, 0]):
        for indices in (codes, at):
            case(
                f"torch.ops: max_spread to {size} {indices.dtype}",
                lambda s=size, t=indices: ops.max_spread(y, t, w, s, False, True, None, None, False, False),
            )
    for shape in ((2, 3, 8), (2, 3, 0, 10), (0, 3, 8, 10), (1,) * 6, ()):
        case(f"torch.ops: max_pool of {shape}", lambda s=shape: ops.max_pool(torch.rand(s), w, False, 0, False), None)
