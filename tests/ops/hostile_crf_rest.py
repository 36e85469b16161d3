"""dense_crf of labels, its layer and batches, the lattice, and the libraries without the checks in Python."""

from __future__ import annotations

import numpy as np
import torch
from hostile import case, huge, kept, picture
from hostile_crf import changed, crf
from numpy.lib.stride_tricks import as_strided

import pyseg
from pyseg import _runtime


def labels_cases():
    def run(labels, **options):
        return crf(labels, unary_from="labels", **options)

    labels = np.random.default_rng(0).integers(-1, 3, (24, 28))
    case("labels: plain", lambda: run(kept(labels)), "works")
    for dtype in ("int8", "int16", ">i4", "int64"):
        case(f"labels: {dtype}", lambda d=dtype: run(kept(labels.astype(d))), "works")
    for dtype in ("float32", "bool", "object", "complex64", "U1"):
        case(f"labels: {dtype}", lambda d=dtype: run(labels.astype(d)))
    case("labels: none known", lambda: run(np.full((24, 28), -1)), "works")
    for value in (2**20, 2**31, 2**62, 2**63 - 1):
        case(f"labels: a label {value}", lambda v=value: run(np.where(labels == 2, v, labels)))
    case("labels: a label -2^63", lambda: run(np.where(labels == 2, -(2**63), labels)), "works")
    case("labels: a label 2^64 - 1", lambda: run(np.full((24, 28), 2**64 - 1, np.uint64)))
    case("labels: empty", lambda: run(labels[:0]))
    case("labels: huge", lambda: run(huge(2**30, 2**29, dtype="int8")))
    for n in (0, -1, 2, 1.0, "3", 2**40, True):
        case(f"labels: n_classes={n!r}", lambda n=n: run(labels, n_classes=n))
    for p in (0, 1, -0.5, 1.5, np.nan, "0.5", None):
        case(f"labels: gt_prob={p!r}", lambda p=p: run(labels, gt_prob=p))
    case("labels: one class", lambda: run(np.zeros((24, 28), int)), "works")


def lattice_cases():
    lattice_of, rng = pyseg.PermutohedralLattice, np.random.default_rng(0)
    features, values = rng.normal(0, 2, (60, 3)).astype("f4"), rng.random((60, 2)).astype("f4")
    plain = lattice_of(features)
    case("lattice: plain", lambda: lattice_of(kept(features)).filter(kept(values)), "works")
    for shape in ((0, 3), (3, 0), (0, 0), (4, 17), (4, 100), (5,), (), (2, 3, 4)):
        case(f"lattice: features {shape}", lambda s=shape: lattice_of(np.zeros(s, "f4")))
    for dtype in ("float32", "float64"):
        for value in (np.nan, np.inf, -np.inf, 1e30, -1e30):
            call = lambda v=value, d=dtype: lattice_of(changed(features.astype(d), v, 7))  # noqa: E731
            case(f"lattice: {value} in {dtype}", call)
        for value in (1e4, 1e5, 1e6, 1e9, 1e12, 1e15, 1e18):
            call = lambda v=value, d=dtype: lattice_of(features.astype(d) * v).filter(values)  # noqa: E731
            case(f"lattice: features times {value} in {dtype}", call, None)
    for dtype in ("bool", "complex64", "object", "U1", "M8[s]"):
        case(f"lattice: features of {dtype}", lambda d=dtype: lattice_of(np.zeros((4, 2), d)))
        case(f"lattice: values of {dtype}", lambda d=dtype: plain.filter(np.zeros((60, 2), d)), None)
    for value in ("abc", None, 3, [[1.0, 2.0]], int):
        case(f"lattice: {value!r} instead of features", lambda v=value: lattice_of(v))
        case(f"lattice: {value!r} instead of values", lambda v=value: plain.filter(v))
    for shape in ((59, 2), (61,), (), (60, 2, 2), (2, 60), (0,)):
        case(f"lattice: values {shape}", lambda s=shape: plain.filter(np.zeros(s, "f4")))
    case("lattice: no channels", lambda: plain.filter(np.zeros((60, 0), "f4")), "works")
    case("lattice: 5000 channels", lambda: plain.filter(np.zeros((60, 5000), "f4")), "works")
    case("lattice: NaN values", lambda: plain.filter(np.full((60, 2), np.nan, "f4")), None)
    case("lattice: the largest values", lambda: plain.filter(np.full((60, 2), 3e38, "f4")), None)
    for way in ("sym", 1, b"after", ["after"]):
        case(f"lattice: normalization={way!r}", lambda w=way: plain.filter(values, normalization=w))
    for way in ("yes", 2, None):
        case(f"lattice: transpose={way!r}", lambda w=way: plain.filter(values, transpose=w))
    case("lattice: zero strides", lambda: lattice_of(huge(60, 3, dtype="f4")).filter(huge(60, 2)), "works")
    case("lattice: reversed, byte-swapped", lambda: lattice_of(features[::-1].astype(">f4")).filter(values), "works")
    case("lattice: overlapping", lambda: lattice_of(as_strided(features, (60, 3), (4, 8))), "works")
    case("lattice: more than 2^31 points", lambda: lattice_of(huge(2**32, 2, dtype="f4")))
    case("lattice: 2^59 points", lambda: lattice_of(huge(2**59, 2, dtype="f4")))
    case("lattice: 2^40 channels", lambda: plain.filter(huge(60, 2**40, dtype="f4")))
    tensor = torch.from_numpy(features)
    case("lattice: sparse", lambda: lattice_of(tensor.to_sparse()))
    case("lattice: of no memory", lambda: lattice_of(tensor.to("meta")))
    case("lattice: values of no memory", lambda: plain.filter(torch.zeros(60, 2, device="meta")))
    case("lattice: gradient of another shape", lambda: plain.filter(torch.zeros(59, 2, requires_grad=True)))
    for dims in (1, 2, 5, 16):
        case(f"lattice: one point in {dims}", lambda d=dims: lattice_of(np.zeros((1, d))).filter(np.ones(1)), "works")


def crf_bypass_cases():
    """The libraries themselves, and batches, without or with few of the checks in Python."""
    native = _runtime.native()
    image = picture()
    axes = [-1, 0, 1, 2]
    kernel = ([3.0, 3.0], [2, 1], [13.0] * 3, 1)

    def plan(image=image, axes=axes, points=672, kernels=(kernel,)):
        return native.CrfPlan(image, axes, points, list(kernels))

    case("native crf: plain", plan, "works")
    for points in (0, -1, 671, 2**40):
        case(f"native crf: {points} points", lambda p=points: plan(points=p))
    for wrong in ([-1, 0, 1, 3], [0, 1, 2, 3], [-1, 0, 0, 2], [-1, 2**31 - 1, 1, 2]):
        case(f"native crf: axes {wrong}", lambda a=wrong: plan(axes=a))
    for part, value in ((0, [3.0]), (0, [0.0, 1.0]), (0, [np.nan] * 2), (1, [2]), (1, [5, 1]), (2, [13.0]), (3, 9)):
        wrong = tuple(value if i == part else old for i, old in enumerate(kernel))
        case(f"native crf: kernel {wrong}", lambda w=wrong: plan(kernels=[w]))
    case("native crf: features of another number", lambda: plan(kernels=[(np.zeros((5, 2), "f4"), 1)]))
    unary, out = np.zeros((672, 3), "f4"), np.zeros((672, 3), "f4")

    def infer(unary=unary, kind=0, compat=(1.0,), n_iter=1, half=False, out=out):
        return plan().infer(unary, kind, [np.asarray(c, np.float32) for c in compat], n_iter, half, out)

    case("native crf: infer", infer, "works")
    for wrong in ({"unary": unary[:5].copy()}, {"out": out[:5].copy()}, {"kind": 7}, {"n_iter": -1}, {"compat": ()}):
        case(f"native crf: infer {list(wrong)}", lambda w=wrong: infer(**w), None if "n_iter" in wrong else "raises")
    case("native crf: compat of another size", lambda: infer(compat=[np.zeros((2, 2))]))

    batch, pixels = torch.rand(2, 3, 24, 28), torch.zeros(2, 3, 24, 28, dtype=torch.uint8)
    case("batch: plain", lambda: pyseg.dense_crf(batch, pixels, unary_from="logits", n_iter=1), "works")
    case("batch: of none", lambda: pyseg.dense_crf(batch[:0], pixels[:0], unary_from="logits"), "works")
    case("batch: of none in NumPy", lambda: pyseg.dense_crf(batch[:0].numpy(), pixels[:0].numpy()), "works")
    for wrong in (pixels[:1], pixels[:, :0], pixels[..., :27], pixels[0], pixels[:, :, None]):
        call = lambda w=wrong: pyseg.dense_crf(batch, w, unary_from="logits")  # noqa: E731
        case(f"batch: image {list(wrong.shape)}", call, None if wrong.shape == pixels[0].shape else "raises")
    case("batch: channel_axis 0", lambda: pyseg.dense_crf(batch, pixels, channel_axis=0))
    for value in (float("nan"), float("inf")):
        case(f"batch: {value}", lambda v=value: pyseg.dense_crf(batch * v, pixels, unary_from="logits"))
        case(f"batch: an image of {value}", lambda v=value: pyseg.dense_crf(batch, batch * v, unary_from="logits"))
    case("batch: sparse", lambda: pyseg.dense_crf(batch.to_sparse(), pixels))
    case("batch: of no memory", lambda: pyseg.dense_crf(batch.to("meta"), pixels))
    case("batch: integers", lambda: pyseg.dense_crf(batch.long(), pixels))
    case("batch: huge", lambda: pyseg.dense_crf(batch[:, :, :1, :1].expand(2, 3, 2**16, 2**16), bilateral=None))
    for options in ({"n_classes": 0}, {"n_classes": -1}, {"learn": ("all",)}, {"srgb": 0.0}, {"n_iter": -1}):
        case(f"layer: {options}", lambda o=options: layer(batch, pixels, **o))
    case("layer: plain", lambda: layer(batch, pixels), "works")
    case("layer: another number of classes", lambda: layer(batch[:, :2], pixels))
    case("layer: an image without batch", lambda: layer(batch, pixels[0]))

    def op(unary=batch, image=pixels, features=(), given=(-1,), spatial=(3.0, 3.0), colored=(1,), color=(9.0,) * 3,
           compat=None, normalization=(1,), kind=0, n_iter=1):  # fmt: skip
        compat = [torch.tensor(1.0)] if compat is None else compat
        return torch.ops.pyseg.dense_crf(
            unary, image, list(features), list(given), list(spatial), list(colored), list(color), compat,
            list(normalization), kind, n_iter, False,
        )  # fmt: skip

    _runtime.torch_ops()
    case("torch.ops crf: plain", op, "works")
    for name, wrong in {
        "unary of int64": {"unary": batch.long()},
        "unary of two axes": {"unary": batch[0, 0]},
        "an image of another size": {"image": pixels[:, :, :5]},
        "an image of int64": {"image": pixels.long()},
        "no image": {"image": None},
        "no sigmas": {"spatial": ()},
        "a sigma of 0": {"spatial": (0.0, 3.0)},
        "a colour's sigma missing": {"color": (9.0,)},
        "features that are not there": {"given": (3,)},
        "features of another size": {"features": [torch.zeros(2, 5, 2)], "given": (0,), "colored": (0,)},
        "features of int64": {"features": [torch.zeros(2, 672, 2).long()], "given": (0,), "colored": (0,)},
        "compat of another size": {"compat": [torch.zeros(2, 2)]},
        "compat of int64": {"compat": [torch.zeros(3, 3).long()]},
        "no compat": {"compat": []},
        "an unknown normalisation": {"normalization": (9,)},
        "an unknown kind": {"kind": 9},
        "a negative n_iter": {"n_iter": -1},
    }.items():
        case(f"torch.ops crf: {name}", lambda w=wrong: op(**w))


def layer(scores, image, n_classes=3, **options):
    return pyseg.nn.DenseCRF(n_classes, **({"n_iter": 1} | options))(scores, image)
