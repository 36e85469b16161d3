"""On a CUDA device: the CPU op's labels, bit for bit. Needs a GPU; what test_host.py checks needs none."""

import importlib.util

import numpy as np
import pytest
import samples

import pyseg
from pyseg import _runtime

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

ARGUMENTS = {
    "n_segments": 60,
    "compactness": 10.0,
    "max_iter": 10,
    "tol": -1.0,
    "sigma": [-1.0, -1.0, -1.0],
    "to_lab": True,
    "slic_zero": False,
    "enforce_connectivity": True,
    "min_size_factor": 0.25,
    "start_label": 0,
    "mask": None,
    "spacing": [1.0, 1.0, 1.0],
    "initial_centers": None,
    "spatial_dims": 2,
}

# Name: kind of image, shape, what differs from ARGUMENTS.
TABLE = {
    "photo": ("photo", (240, 320), {}),
    "photo of 1080p": ("photo", (1080, 1920), {"n_segments": 6912}),
    "small superpixels": ("photo", (200, 231), {"n_segments": 900}),
    "S = 2": ("photo", (100, 101), {"n_segments": 2500}),
    "few superpixels": ("photo", (300, 400), {"n_segments": 3}),
    "one superpixel": ("photo", (50, 60), {"n_segments": 1}),
    "more than pixels": ("photo", (20, 30), {"n_segments": 1000}),
    "not smoothed": ("photo", (240, 320), {"sigma": [0.0, 0.0]}),
    "noise": ("noise", (400, 500), {"sigma": [0.0, 0.0]}),
    "noise, all kept": ("noise", (200, 180), {"sigma": [0.0, 0.0], "min_size_factor": 0.0}),
    "noise, nothing kept": ("noise", (300, 290), {"sigma": [0.0, 0.0], "min_size_factor": 100.0}),
    "flat": ("flat", (128, 131), {}),
    "gradient": ("gradient", (150, 99), {"compactness": 0.01}),
    "checkerboard": ("checkerboard", (120, 90), {"compactness": 1.0}),
    "stripes": ("stripes", (160, 170), {"sigma": [0.0, 0.0]}),
    "cells": ("cells", (333, 334), {"n_segments": 700}),
    "without CIELAB": ("photo", (240, 320), {"to_lab": False}),
    "raw clusters": ("photo", (240, 320), {"enforce_connectivity": False}),
    "to rest": ("photo", (120, 110), {"tol": 0.02, "max_iter": 500}),
    "start label": ("photo", (90, 110), {"start_label": 7}),
    "one row": ("photo", (1, 700), {"n_segments": 40}),
    "one column": ("photo", (333, 1), {"n_segments": 20}),
}


@pytest.fixture(scope="module")
def op():
    return _runtime.torch_ops().slic


def batch_of(kind, shape, channels=3, images=1):
    """uint8 [B, C, H, W] on the CPU."""
    stack = [samples.image(kind, shape, channels=channels, dtype="uint8", seed=i) for i in range(images)]
    return torch.from_numpy(np.stack(stack)).permute(0, 3, 1, 2).contiguous()


def both(op, image, **changed):
    """Labels and counts by CUDA, checked against the CPU's."""
    arguments = {**ARGUMENTS, **changed}
    labels, count = op(image, *arguments.values())
    arguments["initial_centers"] = None if (c := arguments["initial_centers"]) is None else c.cpu()
    expected, expected_count = op(image.cpu(), *arguments.values())
    assert labels.is_cuda
    assert count.is_cuda
    assert labels.is_contiguous()
    assert torch.equal(labels.cpu(), expected)
    assert torch.equal(count.cpu(), expected_count)
    return labels, count


@pytest.mark.parametrize("name", TABLE)
def test_labels_are_the_cpu_ops(op, name):
    kind, shape, changed = TABLE[name]
    both(op, batch_of(kind, shape).cuda(), **changed)


@pytest.mark.parametrize("channels", [1, 2])
def test_fewer_channels(op, channels):
    both(op, batch_of("photo", (99, 120), channels).cuda(), to_lab=False)


def test_a_batch_is_its_images(op):
    batch = batch_of("cells", (130, 140), images=5).cuda()
    labels, count = both(op, batch)
    for i in range(5):
        one, n = both(op, batch[i : i + 1])
        assert torch.equal(one[0], labels[i])
        assert int(n[0]) == int(count[i])


def test_any_strides(op):
    batch = batch_of("photo", (120, 140), images=2).cuda()
    for view in (
        batch.contiguous(memory_format=torch.channels_last),
        batch[:, :, ::2, 3:],
        batch.transpose(2, 3),
        batch[:, :1].expand(2, 3, 120, 140),
    ):
        both(op, view)


@pytest.mark.parametrize("where", ["cpu", "cuda"])
@pytest.mark.parametrize("colors", [False, True])
def test_given_centers(op, where, colors):
    rng = np.random.default_rng(5)
    rows = rng.uniform(0, 100, (2, 60, 6 if colors else 3))
    both(op, batch_of("photo", (100, 110), images=2).cuda(), initial_centers=torch.from_numpy(rows).to(where))


def test_many_centers_at_one_point(op):
    rows = torch.zeros(1, 1500, 3, dtype=torch.float64) + 40.25
    both(op, batch_of("photo", (400, 500)).cuda(), initial_centers=rows)


def test_centers_that_are_not_finite_harm_nothing(op):
    rows = torch.full((1, 30, 6), float("nan"), dtype=torch.float64, device="cuda")
    arguments = {**ARGUMENTS, "initial_centers": rows}
    labels, count = op(batch_of("photo", (60, 70)).cuda(), *arguments.values())
    assert int(labels.min()) == 0
    assert int(labels.max()) == int(count[0]) - 1


def test_the_same_on_every_run(op):
    image = batch_of("noise", (500, 700)).cuda()
    first, _ = op(image, *ARGUMENTS.values())
    for _ in range(20):
        assert torch.equal(op(image, *ARGUMENTS.values())[0], first)


def test_streams(op):
    images = [batch_of("photo", (400, 500 + 16 * i)).cuda() for i in range(6)]
    expected = [op(image, *ARGUMENTS.values())[0] for image in images]
    torch.cuda.synchronize()
    streams = [torch.cuda.Stream() for _ in images]
    found = []
    for image, stream in zip(images, streams, strict=True):
        with torch.cuda.stream(stream):
            found.append(op(image, *ARGUMENTS.values())[0])
    torch.cuda.synchronize()
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_in_a_cuda_graph(op):
    image = batch_of("photo", (200, 220)).cuda()
    expected, _ = op(image, *ARGUMENTS.values())
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        labels, _ = op(image, *ARGUMENTS.values())
    labels.zero_()
    graph.replay()
    assert torch.equal(labels, expected)


def test_empty_batch(op):
    labels, count = op(batch_of("photo", (40, 50)).cuda()[:0], *ARGUMENTS.values())
    assert labels.shape == (0, 40, 50)
    assert count.shape == (0,)


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"slic_zero": True}, "slic_zero"),
        ({"sigma": [1.0, 1.0]}, "sigma"),
        ({"spacing": [1.0, 2.0]}, "spacing"),
        ({"compactness": 100.0}, "compactness"),
        ({"mask": torch.ones(1, 80, 90, dtype=torch.bool)}, "mask"),
    ],
)
def test_what_is_not_covered_is_said(op, changed, word):
    with pytest.raises((RuntimeError, ValueError), match=f"slic on CUDA.*{word}"):
        op(batch_of("photo", (80, 90)).cuda(), *{**ARGUMENTS, **changed}.values())


def test_opcheck(op):
    image = batch_of("photo", (64, 70), images=2).cuda()
    torch.library.opcheck(op.default, (image, *ARGUMENTS.values()))


def test_compiled(op):
    image = batch_of("photo", (64, 70)).cuda()
    compiled = torch.compile(lambda x: op(x, *ARGUMENTS.values()), fullgraph=True)
    assert torch.equal(compiled(image)[0], op(image, *ARGUMENTS.values())[0])


def test_public_function():
    image = samples.image("photo", (120, 130), dtype="uint8")
    labels = pyseg.slic(torch.from_numpy(image).cuda(), n_segments=70)
    assert labels.is_cuda
    assert np.array_equal(labels.cpu().numpy(), pyseg.slic(image, n_segments=70))


@pytest.mark.skipif(importlib.util.find_spec("cupy") is None, reason="no CuPy")
def test_cupy():
    import cupy

    image = samples.image("photo", (120, 130), dtype="uint8")
    with cupy.cuda.Stream(non_blocking=True):
        labels = pyseg.slic(cupy.asarray(image), n_segments=70)
        assert isinstance(labels, cupy.ndarray)
        assert np.array_equal(cupy.asnumpy(labels), pyseg.slic(image, n_segments=70))
