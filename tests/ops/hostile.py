"""Calls that break other libraries: what they are made of, and what is asked of each."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import as_strided

# What the functions call themselves in their errors.
OURS = (
    "slic",
    "superpixel_stats",
    "set_num_threads",
    "quickshift",
    "turbopixels",
    "felzenszwalb",
    "dense_crf",
    "depthwise_conv2d",
    "PermutohedralLattice",
    "DenseCRF",
    "aspp",
    "atrous_conv2d",
    "roi_align",
    "nms",
    "batched_nms",
    "paste_masks",
    "deform_attention",
    "MSDeformAttn",
    "max_pool",
    "max_unpool",
)
CASES = {}  # name: (call, what it must do: "works", "raises", or either where None)
CHECKED = []  # (array, copy): arrays that the call in progress must leave as they are


def case(name, call, must="raises"):
    assert name not in CASES, name
    CASES[name] = (call, must)


def outcome(name):
    """ "ok", or what is wrong with the call. Of errors only those that say the rule, in words, will do."""
    call, must = CASES[name]
    CHECKED.clear()
    said = "no error"
    try:
        call()
        result = "works"
    except (ValueError, TypeError, IndexError) as error:
        result, said = "raises", f"{type(error).__name__}: {error}".replace("\n", " ")[:300]
        ours = any(op in str(error) for op in OURS)
        if not ours and not name.startswith(("native", "torch.ops")):
            return f"an error that does not say whose it is: {said}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}".replace("\n", " ")[:300]
    if any(array.tobytes() != copy.tobytes() for array, copy in CHECKED):
        return "the input was modified"
    return "ok" if must in (None, result) else said


def kept(array):
    """The array, which must be the same after the call."""
    CHECKED.append((array, array.copy()))
    return array


def picture(*shape, dtype="uint8"):
    values = np.random.default_rng(0).random(shape or (24, 28, 3))
    return kept((values * np.iinfo(dtype).max).astype(dtype) if np.dtype(dtype).kind == "u" else values.astype(dtype))


def with_value(value, *shape, dtype="float32", at=-1):
    image = picture(*shape, dtype=dtype).copy()
    image.flat[at] = value
    return kept(image)


def huge(*shape, dtype="uint8", value=0):
    """A view of one element."""
    return np.broadcast_to(np.full((1,) * len(shape), value, dtype), shape)


def arrays():
    """Of each strange image: its name, a function that makes it, and what slic must do with it."""
    yield "empty height", lambda: picture(0, 5, 3), "raises"
    yield "empty width", lambda: picture(5, 0, 3), "raises"
    yield "empty channels", lambda: picture(5, 5, 0), "raises"
    yield "empty depth", lambda: picture(0, 5, 5, 3), "raises"
    yield "nothing but zeros in the shape", lambda: picture(0, 0, 0), "raises"
    yield "one pixel", lambda: picture(1, 1, 3), "works"
    yield "one grey pixel", lambda: picture(1, 1), "works"
    yield "one voxel", lambda: picture(1, 1, 1, 3, dtype="float32"), "works"
    yield "one row", lambda: picture(1, 3000, 3), "works"
    yield "one column of floats", lambda: picture(3000, 1, 3, dtype="float32"), "works"
    yield "one column of voxels", lambda: picture(900, 1, 1, 3), "works"
    yield "many channels", lambda: picture(9, 9, 5000, dtype="float16"), "works"
    for dtype in ("float16", "float32", "float64"):
        for value in (np.nan, np.inf, -np.inf):
            yield f"{value} in {dtype}", lambda v=value, d=dtype: with_value(v, dtype=d), "raises"
            yield f"{value} in grey {dtype}", lambda v=value, d=dtype: with_value(v, 9, 9, dtype=d, at=0), "raises"
        yield f"one pixel of NaN in {dtype}", lambda d=dtype: with_value(np.nan, 1, 1, dtype=d), "raises"
        yield f"nothing but NaN in {dtype}", lambda d=dtype: np.full((40, 40), np.nan, d), "raises"
    yield "the largest float32", lambda: with_value(np.finfo("f4").max), "raises"
    yield "the largest float64", lambda: with_value(np.finfo("f8").max, dtype="float64"), "raises"
    yield "large floats without CIELAB", lambda: with_value(1e36, 24, 28), "works"
    yield "subnormal floats", lambda: picture(24, 28, dtype="float32") * np.float32(1e-44), "works"
    yield "negative floats", lambda: -picture(dtype="float64"), "works"
    for rank in (0, 1, 5, 6):
        yield f"rank {rank}", lambda r=rank: picture(*[2] * r) if r else np.uint8(3), "raises"
    for dtype in ("bool", "int8", "int32", "int64", "uint32", "uint64", "complex64", "longdouble", "M8[s]", "S3", "U2"):
        yield f"dtype {dtype}", lambda d=dtype: np.zeros((24, 28, 3), d), "raises"
    yield "objects", lambda: np.full((24, 28, 3), None), "raises"
    yield "a structured dtype", lambda: np.zeros((24, 28), [("r", "u1"), ("g", "u1")]), "raises"
    for dtype in (">u2", ">f2", ">f4", ">f8"):
        yield f"byte-swapped {dtype}", lambda d=dtype: kept(picture(dtype="uint16").astype(d) * 0), "works"
    yield "reversed", lambda: picture()[::-1, ::-1, ::-1], "works"
    yield "zero strides", lambda: huge(30, 31, 3, dtype="float32"), "works"
    yield "overlapping", lambda: as_strided(picture(), (20, 20, 3), (1, 2, 1)), "works"
    yield "read-only", lambda: np.frombuffer(bytes(range(256)) * 3, np.uint8).reshape(16, 16, 3), "works"
    yield "a masked array", lambda: np.ma.array(np.zeros((9, 9)), mask=True), "works"
    yield "a matrix", lambda: np.asmatrix(np.zeros((9, 9), "u1")), "works"
    yield "more than 2^31 pixels", lambda: huge(2**16, 2**16), "raises"
    yield "more than 2^31 colour pixels", lambda: huge(2**16, 2**16, 3, dtype="float32"), "raises"
    yield "more than 2^31 voxels", lambda: huge(2**11, 2**11, 2**11, 3), "raises"
    yield "more than 2^31 pixels with those of its tiles", lambda: huge(1, 2**28), "raises"
    yield "2^62 pixels", lambda: huge(2**31, 2**31), "raises"
    yield "more than 2^31 elements in channels", lambda: huge(2, 3, 2**30), "raises"
    yield "more than 2^31 elements of more channels than pixels", lambda: huge(40, 40, 2**21), "raises"
    for value in (None, [[1]], "abc", b"abc", 3, int):
        yield f"{value!r} instead of an image", lambda v=value: v, "raises"
