"""pyseg.dense_crf: every strange array, every option out of range or at its end."""

from __future__ import annotations

import numpy as np
import torch
from hostile import arrays, case, huge, kept, picture
from numpy.lib.stride_tricks import as_strided

import pyseg


def scores(*shape, dtype="float32"):
    """[H, W, K] probabilities, of rows that sum to 1."""
    values = np.random.default_rng(1).random(shape or (24, 28, 3))
    return kept((values / values.sum(-1, keepdims=True)).astype(dtype))


def crf(unary=None, image=None, **options):
    unary = scores() if unary is None else unary
    return pyseg.dense_crf(unary, picture() if image is None else image, **({"n_iter": 2} | options))


def changed(array, value, at=-1):
    array = array.copy()
    array.flat[at] = value
    return kept(array)


GAUSSIAN, BILATERAL, FEATURES = pyseg.Gaussian, pyseg.Bilateral, pyseg.Features
SIGMAS = (
    [
        0, 0.0, -1, -1e-300, np.nan, np.inf, -np.inf, 10**400, "3", None, 1j, [], [3], [3, 0], [3, np.nan], [3] * 4, {},
        [[3, 3]],
    ],
    [1e30, 10**30, 300.0, (3, 4), np.array([3, 4.0]), np.array(3.0), np.float16(3), torch.tensor(3.0)],
)  # fmt: skip
WEIGHTS = ([np.nan, np.inf, -np.inf, 10**400, "3", None, 1j, [1, 2]], [0, -5, 1e-300, np.float32(2), torch.tensor(2.0)])
COMPATS = (
    [
        np.zeros(2), np.zeros(4), np.zeros((2, 2)), np.zeros((3, 4)), np.zeros((3, 3, 3)), np.zeros((0, 0)),
        np.full(3, np.nan), np.full((3, 3), np.inf), np.full((3, 3), "1"), np.full(3, None), np.zeros(3, complex),
        huge(2**16, 2**16), "abc", 1.0,
    ],
    [
        -np.ones(3), np.eye(3), np.eye(3, dtype="int8"), np.eye(3, dtype=">f4"), huge(3, 3), -np.eye(3)[::-1],
        [[0, 1, 2], [1, 0, 1], [2, 1, 0]], -torch.eye(3), np.eye(3, dtype=bool), np.full(3, 1e30),
    ],
)  # fmt: skip

OPTIONS = {
    "n_iter": ([-1, -(2**70), 1.0, "1", None, True, [1]], [0, 1, np.uint8(2)]),
    "normalization": (["sym", 1, b"after", ["after"], {}], [None, "none", "symmetric", "before", "after"]),
    "unary_from": (["prob", None, 0, b"probs", ["probs"]], ["probs", "logits", "energy"]),
    "storage": (["half", np.float16, None, 16, ["float16"]], ["float16", "float32"]),
    "channel_axis": ([3, -4, 10**30, 1.0, "1", True], [2, -1]),
    "gaussian": ([3.0, BILATERAL(), "g", GAUSSIAN, FEATURES(np.zeros((672, 1)))], [None, GAUSSIAN()]),
    "bilateral": ([3.0, GAUSSIAN(), "b", BILATERAL], [None, BILATERAL()]),
    "features": (
        [
            5, "f", [np.zeros((672, 2))], GAUSSIAN(), np.zeros((671, 2)), np.zeros((672, 0)), np.zeros((672, 17)),
            np.zeros(672), np.zeros((24, 28, 2)), np.full((672, 2), np.nan), np.full((672, 2), np.inf),
            np.full((672, 2), 1e30), np.full((672, 2), "1"), np.full((672, 2), None), np.zeros((672, 2), complex),
            FEATURES("abc"), FEATURES(None), huge(2**30, 2**29),
        ],
        [
            (), [], np.zeros((672, 2)), FEATURES(np.zeros((672, 16))), [FEATURES(np.ones((672, 1)))] * 5,
            huge(672, 3), np.zeros((672, 2), ">f8"), np.zeros((672, 2), "uint8"), torch.zeros(672, 2),
            np.arange(1344.0).reshape(672, 2)[::-1],
        ],
    ),
    "compat": COMPATS,
    "prune": ([-0.1, 1, 2.0, np.nan, np.inf, "0.1", 1j], [0, 0.5, 1e-300, None]),
}  # fmt: skip


def crf_cases():
    case("crf: plain", crf, "works")
    case("crf: no argument", lambda: pyseg.dense_crf())
    case("crf: an unknown option", lambda: crf(colour=1))
    case("crf: a bilateral kernel without an image", lambda: pyseg.dense_crf(scores()))
    case("crf: no image", lambda: pyseg.dense_crf(scores(), bilateral=None, n_iter=1), "works")
    for option, (wrong, fine) in OPTIONS.items():
        for must, values in (("raises", wrong), ("works", fine)):
            for i, value in enumerate(values):
                text = f"{option}={repr(value)[:50]} ({i})".replace("\n", " ")
                case(f"crf: {text}", lambda o={option: value}: crf(**o), must)
                if option != "prune":
                    case(f"crf tensor: {text}", lambda o={option: value}: crf_tensor(**o), must)
    for kind, names in ((GAUSSIAN, ("sxy",)), (BILATERAL, ("sxy", "srgb"))):
        key = "gaussian" if kind is GAUSSIAN else "bilateral"
        for name in names:
            for must, values in (("raises", SIGMAS[0]), ("works", SIGMAS[1])):
                for i, value in enumerate(values):
                    if name == "srgb" and must == "works" and np.ndim(value) == 1:
                        value = (*value, 5)
                    options = {key: (kind, {name: value})}
                    text = f"{key} {name}={repr(value)[:40]} ({i})"
                    case(f"crf: {text}", lambda o=options: crf(**made(o)), must)
                    case(f"crf tensor: {text}", lambda o=options: crf_tensor(**made(o)), must)
        for must, values in (("raises", WEIGHTS[0]), ("works", WEIGHTS[1])):
            for value in values:
                options = {key: (kind, {"weight": value})}
                case(f"crf: {key} weight={value!r}", lambda o=options: crf(**made(o)), must)
                case(f"crf tensor: {key} weight={value!r}", lambda o=options: crf_tensor(**made(o)), must)
    for sigma in (1e-4, 1e-10, 1e-30, 1e-300, 5e-324):  # pydensecrf's keys overflow, and it says nothing
        for key, kind in (("sxy", GAUSSIAN), ("srgb", BILATERAL)):
            name = "gaussian" if kind is GAUSSIAN else "bilateral"
            case(f"crf: {key}={sigma}", lambda n=name, k=kind, key=key, s=sigma: crf(**{n: k(**{key: s})}), None)
    case("crf: srgb=0.035", lambda: crf(bilateral=BILATERAL(80, 0.035)), "works")


def made(options):
    return {key: kind(**arguments) for key, (kind, arguments) in options.items()}


def crf_tensor(unary=None, image=None, **options):
    unary = torch.from_numpy(scores().copy()) if unary is None else unary
    image = torch.from_numpy(picture().copy()) if image is None else image
    return pyseg.dense_crf(unary, image, **({"n_iter": 2} | options))


def crf_array_cases():
    """Strange images beside a fitting unary term, strange unary terms beside a fitting image, and both."""
    supported = ("uint8", "uint16", "float16", "float32", "float64")
    for name, make, _ in arrays():
        if name.startswith("None"):
            continue  # no image is fine
        if "instead" in name:
            case(f"crf image: {name}", lambda m=make: crf(image=m()))
            case(f"crf unary: {name}", lambda m=make: crf(unary=m()))
            continue
        # What slic makes of a shape does not matter here, only that nothing worse than an error in words comes.
        if name != "2^62 pixels":  # as of which there is no unary term
            case(f"crf image: {name}", lambda m=make: crf(unary_of(m()), image=m()), None)
        case(f"crf unary: {name}", lambda m=make: crf(unary=m()), None)
        case(f"crf both: {name}", lambda m=make: crf(m(), m(), unary_from="energy"), None)
        case(f"crf volume: {name}", lambda m=make: pyseg.dense_crf(m()[None, None], n_iter=1, bilateral=None), None)
    for dtype in ("float16", "float32", "float64"):
        for value in (np.nan, np.inf, -np.inf):
            for at in (0, 700, -1):
                for way in ("probs", "logits", "energy"):
                    unary = lambda d=dtype, v=value, a=at: changed(scores(dtype=d), v, a)  # noqa: E731
                    case(f"crf: {value} at {at} of {way} {dtype}", lambda u=unary, w=way: crf(u(), unary_from=w))
                image = lambda d=dtype, v=value, a=at: crf(image=changed(picture(dtype=d), v, a))  # noqa: E731
                case(f"crf: {value} at {at} of a {dtype} image", image)
    for value in (-1e-3, 1.01, 2, -5, 1e30):
        for at in (0, 1000, -1):
            case(f"crf: a probability {value} at {at}", lambda v=value, a=at: crf(changed(scores(), v, a)))
            case(
                f"crf tensor: a probability {value} at {at}",
                lambda v=value, a=at: crf_tensor(torch.from_numpy(changed(scores(), v, a))),
            )
    for value in (1e30, -1e30, 3e38, 1e300, -1e300):
        for unary_from in ("logits", "energy"):
            must = "raises" if abs(value) > 1e100 else "works"
            call = lambda v=value, u=unary_from: crf(changed(scores(dtype="float64"), v, 5), unary_from=u)  # noqa: E731
            case(f"crf: {value} of {unary_from}", call, must)
    for shape in ((24, 28, 0), (0, 28, 3), (24, 0, 3), (0, 0, 0), (24, 28), (28, 24, 3), (24,), (), (1,) * 6):
        case(f"crf: unary {shape}", lambda s=shape: crf(np.ones(s, "f4") / 3), "raises")
    case("crf: K = 1", lambda: crf(np.ones((24, 28, 1), "f4")), "works")
    case("crf: one pixel", lambda: crf(scores(1, 1, 3), picture(1, 1, 3)), "works")
    case("crf: one pixel of one class", lambda: crf(np.ones((1, 1, 1), "f4"), picture(1, 1, 3)), "works")
    case("crf: many classes", lambda: crf(scores(5, 6, 3000), picture(5, 6, 3)), "works")
    case("crf: many channels", lambda: crf(image=picture(24, 28, 200)), "raises")
    case("crf: 14 channels", lambda: crf(image=picture(24, 28, 14)), "works")
    case("crf: a grey image", lambda: crf(image=picture(24, 28)), "works")
    for dtype in supported:
        case(f"crf: image of {dtype}", lambda d=dtype: crf(image=picture(dtype=d)), "works")
    for dtype in ("bool", "complex64", "object", "U1", "M8[s]"):
        case(f"crf: unary of {dtype}", lambda d=dtype: crf(np.zeros((24, 28, 3), d)))
        case(f"crf: image of {dtype}", lambda d=dtype: crf(image=np.zeros((24, 28, 3), d)))
    for dtype in (">f2", ">f4", ">f8"):
        case(
            f"crf: byte-swapped {dtype}",
            lambda d=dtype: crf(kept(scores().astype(d)), kept(picture().astype(d))),
            "works",
        )
    case("crf: reversed", lambda: crf(scores()[::-1, ::-1], picture()[::-1, :, ::-1]), "works")
    case("crf: zero strides", lambda: crf(huge(30, 31, 3, dtype="f4", value=0.3), huge(30, 31, 3)), "works")
    case("crf: overlapping", lambda: crf(as_strided(scores(), (20, 20, 3), (4, 8, 4)), picture(20, 20, 3)), "works")
    for shape in ((2**16, 2**16, 3), (2**29, 2**29, 2), (2**40, 1, 2), (2, 2, 2**40), (2**20, 2**11, 2)):
        unary, image = huge(*shape, dtype="f4", value=0.5), huge(*shape[:2], 3)
        case(f"crf: {shape}", lambda u=unary, i=image: crf(u, i), "raises")
        case(f"crf: {shape} without kernels", lambda u=unary: crf(u, None, gaussian=None, bilateral=None), None)
    wide = huge(2**16, 2**16, 3, dtype="f4", value=0.5)
    case("crf: more than 2^31 pixels of an image", lambda: crf(image=huge(2**16, 2**16, 3)), "raises")
    case("crf: more than 2^31 points of features", lambda: pyseg.dense_crf(wide[0], features=huge(2**31, 3)), "raises")


def unary_of(image):
    shape = (1, 1) if image.ndim < 2 else image.shape[:2]
    return np.broadcast_to(np.float32(0.5), (*shape, 2))
