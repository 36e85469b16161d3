"""The statistics, batches of tensors, the libraries without the checks in Python, and threads that cannot start."""

from __future__ import annotations

import functools
import resource

import numpy as np
import torch
from hostile import arrays, case, kept, picture

import pyseg
from pyseg import _runtime


def stats_cases():
    stats = pyseg.superpixel_stats
    labels, image = np.arange(24 * 28).reshape(24, 28) // 50, picture()

    def labels_of(array):
        return np.broadcast_to(np.zeros((), np.uint8), array.shape[: max(2, array.ndim - 1)])

    case("stats: plain", lambda: stats(labels, image), "works")
    for name, make, must in arrays():
        if "instead" in name:
            case(f"stats: {name}", lambda m=make: stats(labels, m()))
            case(f"stats: {name}, as labels", lambda m=make: stats(m(), image))
        elif "tiles" not in name:  # that is no limit here
            must = "raises" if "2^" in name else "works" if must == "works" else None
            case(f"stats: {name}", lambda m=make: stats(labels_of(a := m()), a), must)
            case(f"stats: {name}, as labels", lambda m=make: stats(m(), image), "raises" if "2^" in name else None)
    case("stats: labels of another shape", lambda: stats(labels[1:], image))
    case("stats: labels of one axis", lambda: stats(labels[0], image))
    case("stats: empty", lambda: stats(labels[:0], image[:0]), None)
    for dtype in ("float32", "bool", "object", "complex64", "U1"):
        case(f"stats: labels of {dtype}", lambda d=dtype: stats(labels.astype(d), image))
    for dtype in ("int8", "uint64", ">i4", ">u8"):
        case(f"stats: labels of {dtype}", lambda d=dtype: stats(kept(labels.astype(d)), image), "works")
    for value in (-1, -(2**63), 2**31 - 2, 2**31 - 1, 2**31, 2**32, 2**63 - 1):
        wild = np.where(labels == 3, value, labels)
        case(f"stats: a label {value}", lambda w=wild: stats(w, image), None)
        case(f"stats: a label {value}, n=5", lambda w=wild: stats(w, image, n=5), "works")
    for n in (-1, 1.0, "1", 2**31, 10**30, True):
        case(f"stats: n={n!r}", lambda n=n: stats(labels, image, n=n))
    for n in (0, 1, 10**6):
        case(f"stats: n={n!r}", lambda n=n: stats(labels, image, n=n), "works")
    case("stats: n=2^31 - 1", lambda: stats(labels, image, n=2**31 - 1), None)
    for start in (-1, 2**31, 10**30, 0.5, None):
        case(f"stats: start_label={start!r}", lambda s=start: stats(labels, image, start_label=s))
    case("stats: start_label=2^31 - 1", lambda: stats(labels, image, start_label=2**31 - 1, n=3), "works")
    for axis in (3, -4, 10**30, 1.0, None):
        case(f"stats: channel_axis={axis!r}", lambda a=axis: stats(labels, image, channel_axis=a))
    case("stats: CIELAB of two channels", lambda: stats(labels, picture(24, 28, 2), convert2lab=True))


def torch_cases():
    batch = functools.partial(torch.rand, 2, 3, 24, 28)
    case("batch: plain", lambda: pyseg.ops.slic_batch(batch(), 12), "works")
    case("batch: of none", lambda: pyseg.ops.slic_batch(torch.rand(0, 3, 24, 28), 12), "works")
    for shape in ((2, 0, 5, 5), (2, 3, 0, 5), (2, 3, 5, 0), (2, 3, 0, 5, 5), (2, 3), (3, 24, 28), (1,) * 6):
        case(f"batch: shape {shape}", lambda s=shape: pyseg.ops.slic_batch(torch.rand(s), 12))
    for dtype in ("bool", "int8", "int64", "complex64"):
        case(f"batch: {dtype}", lambda d=dtype: pyseg.ops.slic_batch(batch().to(getattr(torch, d)), 12))
    for value in (float("nan"), float("inf")):
        case(f"batch: {value}", lambda v=value: pyseg.ops.slic_batch(batch() * v, 12))
        case(f"batch: {value} in pixels of their own", lambda v=value: pyseg.ops.slic_batch(batch() * v, 10**6))
    case("batch: NumPy", lambda: pyseg.ops.slic_batch(picture(2, 3, 24, 28), 12))
    case("batch: sparse", lambda: pyseg.ops.slic_batch(batch().to_sparse(), 12))
    case("batch: of no memory", lambda: pyseg.ops.slic_batch(batch(device="meta"), 12))
    wide = torch.zeros(1, 3, 1, 1).expand(1, 3, 2**16, 2**16)
    case("batch: more than 2^31 pixels", lambda: pyseg.ops.slic_batch(wide))
    case("tensor: more than 2^31 pixels", lambda: pyseg.slic(wide[0, 0]))
    for shape in ((2, 24, 27), (1, 24, 28), (24, 28), (2, 1, 24, 28)):
        case(f"batch: masks {shape}", lambda s=shape: pyseg.ops.slic_batch(batch(), 12, masks=torch.ones(s)))
    case("batch: masks of nothing", lambda: pyseg.ops.slic_batch(batch(), 12, masks=torch.zeros(2, 24, 28)))
    for shape in ((2, 0, 2), (1, 4, 2), (2, 4, 3), (2, 4, 6), (4, 2)):
        case(f"batch: centres {shape}", lambda s=shape: pyseg.ops.slic_batch(batch(), initial_centers=torch.zeros(s)))
    case("tensor: sparse", lambda: pyseg.slic(torch.rand(24, 28).to_sparse(), 12))
    case("tensor: of no memory", lambda: pyseg.slic(torch.rand(24, 28, device="meta"), 12))
    half = torch.rand(24, 28, 3).bfloat16()
    case("tensor: bfloat16 with statistics", lambda: pyseg.slic(half, 12, return_stats=True), "works")
    for dtype in ("uint8", "float16", "bfloat16", "float64"):
        case(
            f"tensor: zero strides of {dtype}",
            lambda d=dtype: pyseg.slic(torch.ones(1, 1, 3).to(getattr(torch, d)).expand(30, 31, 3), 12),
            "works",
        )
    stats = pyseg.superpixel_stats
    case("stats: tensors", lambda: stats(torch.zeros(24, 28, dtype=torch.int64), torch.rand(24, 28, 3)), "works")
    case("stats: bfloat16", lambda: stats(torch.zeros(24, 28, dtype=torch.int32), half), "works")


def bypass_cases():
    """The libraries themselves, without the checks in Python: only what memory safety needs."""

    def native(image, axes=(-1, 0, 1, 2), **options):
        full = {
            "n_segments": 12, "compactness": 10.0, "max_iter": 2, "tol": -1.0, "sigma": [0.0] * 3, "to_lab": False,
            "slic_zero": False, "enforce_connectivity": True, "min_size_factor": 0.25, "start_label": 0, "mask": None,
            "spacing": [1.0] * 3, "initial_centers": None,
        }  # fmt: skip
        return _runtime.native().slic(image, axes, **(full | options))

    case("native: plain", lambda: native(picture()), "works")
    for axes in ((-1, 0, 1, 3), (0, 1, 2, 3), (-1, 0, 0, 2), (-1, 0, 1, 1), (0, 0, 0, 0), (-1, 2**31 - 1, 1, 2)):
        case(f"native: axes {axes}", lambda a=axes: native(picture(), a))
    case("native: mask of another shape", lambda: native(picture(), mask=np.ones((3, 3), bool)))
    case("native: centres of another width", lambda: native(picture(), initial_centers=np.zeros((2, 4))))
    case("native: CIELAB of a channel", lambda: native(picture(9, 9, 1), to_lab=True))
    for option, value in {"n_segments": -1, "max_iter": -1, "start_label": -1, "compactness": np.nan}.items():
        case(f"native: {option}={value}", lambda o=option, v=value: native(picture(), **{o: v}))
    for option in ("sigma", "spacing"):
        for value in ([np.nan] * 3, [-2.0, 1.0, 1.0], [np.inf] * 3):
            case(f"native: {option}={value}", lambda o=option, v=value: native(picture(), **{o: v}))
    raw = lambda *a: _runtime.native().superpixel_stats(*a)  # noqa: E731
    labels = np.zeros((24, 28), np.int32)
    case("native: labels of another shape", lambda: raw(labels[:3].copy(), picture(), (-1, 0, 1, 2), 1, 0, False))
    case("native: statistics of repeated axes", lambda: raw(labels, picture(28, 24, 28), (-1, 1, 1, 2), 1, 0, False))
    case("native: a negative n", lambda: raw(labels, picture(), (-1, 0, 1, 2), -1, 0, False))
    for threads in (0, -1):
        case(f"native: set_num_threads({threads})", lambda t=threads: try_threads(t))

    def try_threads(threads):
        try:
            _runtime.native().set_num_threads(threads)
        finally:
            pyseg.set_num_threads(2)

    def op(image, *, centers=None, mask=None, sigma=(0.0,) * 3, spacing=(1.0,) * 3, dims=2, n=12, start=0):
        return torch.ops.pyseg.slic(
            image, n, 10.0, 2, -1.0, list(sigma), False, False, True, 0.25, start, mask, list(spacing), centers, dims
        )

    _runtime.torch_ops()
    image = torch.rand(2, 3, 24, 28)
    case("torch.ops: plain", lambda: op(image), "works")
    for dims in (0, 1, 3, -1, 2**40):
        case(f"torch.ops: spatial_dims {dims}", lambda d=dims: op(image, dims=d))
    for name in ("sigma", "spacing"):
        case(f"torch.ops: empty {name}", lambda n=name: op(image, **{n: ()}))
        case(f"torch.ops: {name} of one", lambda n=name: op(image, **{n: (1.0,)}))
    case("torch.ops: int64", lambda: op(image.long()))
    case("torch.ops: mask of another shape", lambda: op(image, mask=torch.ones(2, 3, 3, dtype=torch.bool)))
    case("torch.ops: mask of another type", lambda: op(image, mask=torch.ones(2, 24, 28)))
    case("torch.ops: centres of another width", lambda: op(image, centers=torch.zeros(2, 4, 4, dtype=torch.float64)))
    case("torch.ops: centres of another type", lambda: op(image, centers=torch.zeros(2, 4, 3)))
    case("torch.ops: centres of another batch", lambda: op(image, centers=torch.zeros(1, 4, 3, dtype=torch.float64)))
    case("torch.ops: no centres", lambda: op(image, centers=torch.zeros(2, 0, 3, dtype=torch.float64)))
    case("torch.ops: n_segments 0", lambda: op(image, n=0))
    for start in (-1, 2**31, 2**40):
        case(f"torch.ops: start_label {start}", lambda s=start: op(image, start=s))


def thread_cases():
    for threads in (0, -1, 1025, 2**40, 1.0, None, "2"):
        case(f"set_num_threads({threads!r})", lambda t=threads: pyseg.set_num_threads(t))
    case("set_num_threads: more than there is memory for", threads_that_cannot_start, None)


def threads_that_cannot_start():
    """Then two, which must still work."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**29, limits[1]))
    try:
        pyseg.set_num_threads(1024)
        pyseg.slic(picture(400, 400, 3), 50)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
        pyseg.set_num_threads(2)
        pyseg.slic(picture(400, 400, 3), 50)
