"""pyseg.deform_attention, its fused form, its layer: strange arrays and numbers, and without the checks in Python."""

from __future__ import annotations

import numpy as np
import torch
from hostile import case, huge, kept
from numpy.lib.stride_tricks import as_strided

import pyseg
from pyseg import _runtime

SHAPES = [(4, 5), (2, 3)]
BAD_SHAPES = {
    "too few pixels": [(4, 5), (2, 2)], "too many": [(4, 5), (3, 3)], "another number": [(4, 5)],
    "negative": [(-4, -5), (2, 3)],
    "huge": [(2**40, 2**40), (2, 3)], "huge, of no pixel": [(2**31, 0), (26, 1)], "beyond int64": [(2**70, 1), (2, 3)],
    "triples": [(4, 5, 1), (2, 3, 1)], "flat": [4, 5, 2, 3], "floats": [(4.0, 5.0), (2.0, 3.0)], "words": "abc",
    "ragged": [(4, 5), (2,)], "none": None, "a number": 3, "bools": [(True, True), (True, True)], "empty": [],
    "overflowing": [(2**32, 2**32), (2, 3)], "objects": [(None, 1), (2, 3)],
}  # fmt: skip
BAD_STARTS = {
    "beyond": [0, 21], "negative": [-1, 20], "huge": [0, 2**62], "one": [0], "three": [0, 20, 26],
    "floats": [0.0, 20.0],
    "a number": 0, "pairs": [(0, 20)], "words": "ab", "beyond int64": [0, 2**70],
}  # fmt: skip


def arguments(dtype="float32", box=None):
    """[2, 26, 3, 4] and 5 queries of 3 points."""
    rng = np.random.default_rng(0)
    shapes = {"value": (2, 26, 3, 4), "places": (2, 5, 3, 2, 3, 2), "weights": (2, 5, 3, 2, 3)}
    if box is not None:
        shapes["reference"] = (2, 5, 2, box)
    return {name: rng.random(shape).astype(dtype) for name, shape in shapes.items()}


def call(kind, shapes=SHAPES, starts=None, box=None, **changed):
    given = arguments(box=box) | changed
    if kind == "tensor":
        given = {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in given.items()}
    if box is None:
        return pyseg.deform_attention(
            given["value"], shapes, given["places"], given["weights"], level_start_index=starts
        )
    return pyseg.deform_attention_fused(
        given["value"], shapes, given["reference"], given["places"], given["weights"], level_start_index=starts
    )


def deform_cases():
    for kind in ("array", "tensor"):
        for box in (None, 2, 4):
            _arguments(kind, box)
        for name, shapes in BAD_SHAPES.items():
            case(f"deform {kind}: shapes {name}", lambda k=kind, s=shapes: call(k, s))
            if isinstance(shapes, list) and name not in ("ragged", "objects", "beyond int64"):
                case(f"deform {kind}: shapes {name}, array", lambda k=kind, s=shapes: call(k, np.array(s)))
        for name, starts in BAD_STARTS.items():
            case(f"deform {kind}: starts {name}", lambda k=kind, s=starts: call(k, starts=s))
        case(f"deform {kind}: starts that overlap", lambda k=kind: call(k, starts=[6, 0]), "works")
        case(f"deform {kind}: starts at the end", lambda k=kind: call(k, [(4, 5), (0, 3)], [0, 26]), "works")
        case(f"deform {kind}: uint64", lambda k=kind: call(k, np.array(SHAPES, np.uint64)), None)
        case(f"deform {kind}: int8", lambda k=kind: call(k, np.array(SHAPES, np.int8)), "works")
    _arrays()
    _tensors()
    _layer()
    _bypass()


def _arguments(kind, box):
    names = list(arguments(box=box))
    where = f"deform {kind}, box {box}"
    case(f"{where}: plain", lambda: call(kind, box=box), "works")
    for name in names:
        good = arguments(box=box)[name]
        for axis in range(good.ndim):
            for how, wrong in (("none", good.take([], axis)), ("one more", np.concatenate([good, good], axis))):
                grows = name == "value" and axis == 3  # channels
                grows |= name == "reference" and axis == 3 and (box, how) == (2, "one more")  # to boxes
                case(
                    f"{where}: {how} in axis {axis} of {name}",
                    lambda n=name, w=wrong: call(kind, box=box, **{n: w}),
                    "works" if grows else "raises",
                )
        for how, wrong in {"flat": good.ravel(), "one axis more": good[None], "one axis less": good[0]}.items():
            case(f"{where}: {name} {how}", lambda n=name, w=wrong: call(kind, box=box, **{n: w}))
        for value in (np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45):
            strange = np.where(good < 0.5, np.float32(value), good)
            case(f"{where}: {value} in {name}", lambda n=name, w=strange: call(kind, box=box, **{n: kept(w)}), "works")
        for dtype in ("int64", "bool", "complex64", "float64"):
            wrong = good.astype(dtype)
            case(f"{where}: {name} of {dtype}", lambda n=name, w=wrong: call(kind, box=box, **{n: w}))
        half = good.astype("f2")
        case(
            f"{where}: {name} in half precision",
            lambda n=name, w=half: call(kind, box=box, **{n: w}),
            "works",
        )
        for strange in (None, "abc", 3, [[1.0]], int):
            case(f"{where}: {strange!r} for {name}", lambda n=name, w=strange: call(kind, box=box, **{n: w}))
    for dtype in ("float16", "float64"):
        case(f"{where}: all of {dtype}", lambda d=dtype: call(kind, box=box, **arguments(d, box)), "works")


def _arrays():
    good = arguments()
    for name, x in good.items():
        for dtype in (">f4", ">f8", "longdouble", "object", "M8[s]", "U2"):
            must = "works" if dtype == ">f4" else "raises"
            case(f"deform: {name} of {dtype}", lambda n=name, d=dtype: call("array", **{n: _as(good[n], d)}), must)
        case(f"deform: {name} reversed", lambda n=name, w=x[..., ::-1]: call("array", **{n: w}), "works")
        case(
            f"deform: {name} of zero strides",
            lambda n=name, s=x.shape: call("array", **{n: huge(*s, dtype="f4")}),
            "works",
        )
        overlap = as_strided(x, x.shape, (4,) * x.ndim)
        case(f"deform: {name} overlapping", lambda n=name, w=overlap: call("array", **{n: w}), "works")
    frozen = {name: np.frombuffer(x.tobytes(), "f4").reshape(x.shape) for name, x in good.items()}
    case("deform: read-only", lambda: call("array", **frozen), "works")
    wide = huge(2, 2**30, 3, 4, dtype="f4")
    case("deform: 2^30 pixels", lambda: call("array", [(2**15, 2**15), (0, 0)], value=wide))
    case("deform: 2^31 pixels", lambda: call("array", [(2**16, 2**15), (0, 0)], value=huge(2, 2**31, 3, 4, dtype="f4")))
    case("deform: an unknown option", lambda: pyseg.deform_attention(*good.values(), colour=1))
    case("deform: no argument", lambda: pyseg.deform_attention())
    mixed = {"weights": torch.zeros(2, 5, 3, 2, 3)}
    case("deform: a tensor beside arrays", lambda: call("array", **mixed), "works")
    case("deform: an array beside tensors", lambda: call("tensor", weights=[[1.0]]))


def _as(x, dtype):
    return np.zeros(x.shape, dtype) if dtype in ("M8[s]", "U2") else x.astype(dtype)


def _tensors():
    good = {name: torch.from_numpy(x) for name, x in arguments().items()}
    for name, x in good.items():
        for how, wrong in {"sparse": x.to_sparse(), "of no memory": x.to("meta")}.items():
            case(f"deform: {name} {how}", lambda n=name, w=wrong: call("tensor", **{n: w}))
    wide = torch.zeros(1, 1, 1, 1).expand(2, 2**30, 3, 4)
    case("deform: tensor of 2^30 pixels", lambda: call("tensor", [(2**15, 2**15), (0, 0)], value=wide))
    for name in good:
        nan = {name: torch.full_like(good[name], torch.nan).requires_grad_()}
        case(f"deform: gradients of NaN {name}", lambda n=nan: call("tensor", **n).sum().backward(), "works")
    case("deform: shapes of no memory", lambda: call("tensor", torch.tensor(SHAPES, device="meta")))
    case("deform: sparse shapes", lambda: call("tensor", torch.tensor(SHAPES).to_sparse()))
    for dtype in (torch.float32, torch.bool, torch.complex64):
        case(f"deform: shapes of {dtype}", lambda d=dtype: call("tensor", torch.tensor(SHAPES).to(d)))


def _layer():
    for name in ("d_model", "n_levels", "n_heads", "n_points"):
        for value in (0, -1, 1.5, "4", None, True):
            case(f"MSDeformAttn: {name}={value!r}", lambda n=name, v=value: pyseg.nn.MSDeformAttn(**{n: v}))
    case("MSDeformAttn: heads that do not divide", lambda: pyseg.nn.MSDeformAttn(10, n_heads=4))

    def layer(query=(2, 5, 8), reference=(2, 5, 2, 2), flat=(2, 26, 8), shapes=SHAPES, mask=None):
        mask = None if mask is None else torch.zeros(mask, dtype=torch.bool)
        module = pyseg.nn.MSDeformAttn(8, 2, 2, 3)
        return module(torch.rand(query), torch.rand(reference), torch.rand(flat), shapes, None, mask)

    case("MSDeformAttn: plain", lambda: layer(mask=(2, 26)), "works")
    for name, wrong in {
        "query": (2, 5, 7), "reference": (2, 5, 3, 2), "flat": (2, 25, 8), "mask": (2, 25), "shapes": [(4, 5)],
    }.items():  # fmt: skip
        case(f"MSDeformAttn: {name} {wrong}", lambda n=name, w=wrong: layer(**{n: w}))
    for name, wrong in {"query": (5, 8), "reference": (2, 5, 2, 3), "flat": (26, 8), "mask": (26,)}.items():
        case(f"MSDeformAttn: {name} {wrong}", lambda n=name, w=wrong: layer(**{n: w}))


def _bypass():
    """The libraries themselves, without the checks in Python: only what memory safety needs."""
    good = arguments()
    sizes = np.array(SHAPES, np.int64)

    def native(value=good["value"], shapes=sizes, starts=None, reference=None, places=good["places"],
               weights=good["weights"]):  # fmt: skip
        return _runtime.native().deform_attention(value, shapes, starts, reference, places, weights)

    def op(value=good["value"], shapes=sizes, starts=None, reference=None, places=good["places"],
           weights=good["weights"], grad=None):  # fmt: skip
        value, shapes, starts, reference, places, weights = (
            torch.from_numpy(np.ascontiguousarray(x)) if isinstance(x, np.ndarray) else x
            for x in (value, shapes, starts, reference, places, weights)
        )
        ops = _runtime.torch_ops()
        if grad is not None:
            return ops.deform_attention_backward(grad, value, shapes, starts, places, weights, True, True)
        if reference is None:
            return ops.deform_attention(value, shapes, starts, places, weights)
        return ops.deform_attention_fused(value, shapes, starts, reference, places, weights)

    box = arguments(box=4)["reference"]
    for where, run in (("native", native), ("torch.ops", op)):
        case(f"{where} deform: plain", run, "works")
        case(f"{where} deform: boxes", lambda r=run: r(reference=box), "works")
        for name in ("value", "places", "weights"):
            x = good[name]
            for how, wrong in {
                "flat": x.ravel(), "less": x[0], "more": x[None], "int64": x.astype("i8"), "float64": x.astype("f8"),
                "no last": x[..., :0], "half the queries": x[:, :2], "one head": x[:, :, :1], "one image": x[:1],
            }.items():  # fmt: skip
                fine = name == "value" and how == "no last"
                case(
                    f"{where} deform: {name} {how}",
                    lambda r=run, n=name, w=wrong: r(**{n: w}),
                    "works" if fine else "raises",
                )
        for how, wrong in {
            "narrow": box[..., :3],
            "no query": box[:, :0],
            "flat": box.ravel(),
            "number": box[0, 0, 0, 0],
        }.items():
            case(f"{where} deform: reference {how}", lambda r=run, w=wrong: r(reference=np.asarray(w)))
        for how, wrong in {
            "negative": -sizes, "larger": sizes * 2, "smaller": sizes // 2, "huge": sizes + 2**62,
            "flat": sizes.ravel(),
            "overflowing": np.array([[2**32, 2**32], [2, 3]]), "triples": np.ones((2, 3), np.int64), "none": sizes[:0],
        }.items():  # fmt: skip
            case(f"{where} deform: shapes {how}", lambda r=run, w=wrong: r(shapes=w))
        for wrong in ([0], [0, 21], [-1, 20], [0, 2**62], [-(2**63), 0]):
            case(f"{where} deform: starts {wrong}", lambda r=run, w=wrong: r(starts=np.array(w, np.int64)))
    case("torch.ops deform: shapes of int32", lambda: op(shapes=torch.tensor(SHAPES, dtype=torch.int32)))
    for how, grad in {
        "another shape": torch.zeros(2, 5, 11), "flat": torch.zeros(5), "float64": torch.zeros(2, 5, 12).double(),
        "int64": torch.zeros(2, 5, 12).long(),
    }.items():  # fmt: skip
        case(f"torch.ops deform: grad of {how}", lambda g=grad: op(grad=g))
    case("torch.ops deform: grad", lambda: op(grad=torch.zeros(2, 5, 12)), "works")
    swapped = good["value"].astype(">f4")
    case("native deform: byte-swapped", lambda: native(value=swapped))
    case("native deform: strided", lambda: native(value=good["value"][..., ::-1]))
