"""dense_crf and the lattice on arrays however they lie, of any kind and type, alone and in batches."""

import numpy as np
import pytest
import samples
import torch
from crf_problems import Problem, by_pyseg, by_reference, random_problem, to_tensors
from numpy.lib.stride_tricks import as_strided

import pyseg

# ---- layouts: each a view of an array, or the same values in another


def unaligned(a):
    buffer = np.zeros(a.nbytes + 1, np.uint8)
    view = buffer[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def read_only(a):
    a = a.copy()
    a.setflags(write=False)
    return a


LAYOUTS = {
    "Fortran order": np.asfortranarray,
    "reversed": lambda a: a[::-1, ::-1],
    "channels reversed": lambda a: a[..., ::-1],
    "every second": lambda a: np.repeat(np.repeat(a, 2, 0), 3, 1)[::2, 1::3],
    "channels from a wider array": lambda a: np.concatenate([a, a], axis=-1)[..., 1 : 1 + a.shape[-1]],
    "one row over and over": lambda a: np.broadcast_to(a[:1], a.shape),
    "one value over and over": lambda a: np.broadcast_to(a[:1, :1, :1], a.shape),
    "overlapping rows": lambda a: as_strided(a, a.shape, (a.strides[2] * 5, a.strides[1], a.strides[2])),
    "read-only": read_only,
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "unaligned": unaligned,
}


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_does_not_matter(layout, classes, unchanged):
    for dtype in ("uint8", "float64"):
        problem = random_problem(1, (20, 23), classes, dtype=dtype)
        unary, image = LAYOUTS[layout](problem.unary), LAYOUTS[layout](problem.image)
        unchanged(unary, image)
        plain = Problem(
            np.ascontiguousarray(unary, unary.dtype.newbyteorder("=")),
            np.ascontiguousarray(image, image.dtype.newbyteorder("=")),
            problem.kernels,
        )
        np.testing.assert_array_equal(by_pyseg(Problem(unary, image, problem.kernels)), by_pyseg(plain))


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "one value over and over"])
def test_layout_of_features_and_values_does_not_matter(layout, unchanged):
    rng = np.random.default_rng(0)
    features, values = (LAYOUTS[layout](rng.normal(0, 2, (30, 31, 4)).astype("f4"))[:, 3] for _ in range(2))
    unchanged(features, values)
    plain = [np.ascontiguousarray(x, x.dtype.newbyteorder("=")) for x in (features, values)]
    expected = pyseg.PermutohedralLattice(plain[0]).filter(plain[1])
    np.testing.assert_array_equal(pyseg.PermutohedralLattice(features).filter(values), expected)
    unary = np.abs(values)
    kernel = {"gaussian": None, "bilateral": None, "unary_from": "energy"}
    np.testing.assert_array_equal(
        pyseg.dense_crf(unary, features=pyseg.Features(features), **kernel),
        pyseg.dense_crf(np.abs(plain[1]), features=pyseg.Features(plain[0]), **kernel),
    )


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_classes_and_channels_may_be_on_any_axis(axis):
    problem = random_problem(2, (20, 23), 4)
    expected = by_pyseg(problem)
    moved = [np.moveaxis(x, -1, axis) for x in (problem.unary, problem.image)]
    options = {
        "gaussian": pyseg.Gaussian(problem.kernels[0]["sxy"], problem.kernels[0]["weight"]),
        "bilateral": pyseg.Bilateral(*(problem.kernels[1][key] for key in ("sxy", "srgb", "weight"))),
        "n_iter": problem.n_iter,
        "unary_from": "energy",
        "channel_axis": axis,
    }
    for unary, image in (moved, [np.ascontiguousarray(x) for x in moved]):
        np.testing.assert_array_equal(np.moveaxis(pyseg.dense_crf(unary, image, **options), axis, -1), expected)
        tensors = [torch.from_numpy(np.ascontiguousarray(x)) for x in (unary, image)]
        q = pyseg.dense_crf(*tensors, **options).numpy()
        np.testing.assert_array_equal(np.moveaxis(q, axis, -1), expected)


# ---- batches and volumes


def channels_first(arrays):
    """[B, C, ...] of a list of [..., C]."""
    return np.stack([np.moveaxis(array, -1, 0) for array in arrays])


def one_by_one(problems):
    return channels_first([by_pyseg(p) for p in problems])


@pytest.mark.parametrize("as_tensor", [False, True])
def test_a_batch_is_its_images(as_tensor):
    shared = random_problem(0, (20, 23), 3)
    problems = [Problem(p.unary, p.image, shared.kernels) for p in (random_problem(s, (20, 23), 3) for s in range(3))]
    unary, image = (channels_first([getattr(p, name) for p in problems]) for name in ("unary", "image"))
    options = {
        "gaussian": pyseg.Gaussian(shared.kernels[0]["sxy"], shared.kernels[0]["weight"]),
        "bilateral": pyseg.Bilateral(*(shared.kernels[1][key] for key in ("sxy", "srgb", "weight"))),
        "n_iter": 5,
        "unary_from": "energy",
    }
    if as_tensor:
        unary, image = torch.from_numpy(unary), torch.from_numpy(image)
    q = pyseg.dense_crf(unary, image, **options)
    assert isinstance(q, torch.Tensor) == as_tensor
    np.testing.assert_array_equal(np.asarray(q), one_by_one(problems))
    grey = image[:, :1]
    both = [pyseg.dense_crf(unary, x, **options | {"bilateral": pyseg.Bilateral(9, 20)}) for x in (grey, grey[:, 0])]
    np.testing.assert_array_equal(np.asarray(both[0]), np.asarray(both[1]))


def test_a_batch_of_volumes_is_its_volumes():
    problems = [random_problem(s, (5, 9, 8), 3, 2, "float32", weight=2.0) for s in range(2)]
    kernels = problems[0].kernels
    problems = [Problem(p.unary, p.image, kernels) for p in problems]
    unary, image = (channels_first([getattr(p, name) for p in problems]) for name in ("unary", "image"))
    q = pyseg.dense_crf(
        unary,
        image,
        gaussian=pyseg.Gaussian(kernels[0]["sxy"], 2.0),
        bilateral=pyseg.Bilateral(kernels[1]["sxy"], kernels[1]["srgb"], 2.0),
        n_iter=5,
        unary_from="energy",
    )
    np.testing.assert_array_equal(q, one_by_one(problems))


def test_a_volume_of_one_slice_is_an_image_but_for_the_order_of_axes():
    flat = random_problem(5, (20, 23), 3, kinds=("gaussian",))
    sx, sy = flat.kernels[0]["sxy"]
    deep = Problem(flat.unary[None], None, [flat.kernels[0] | {"sxy": (1.0, sy, sx)}])
    np.testing.assert_allclose(np.asarray(by_pyseg(deep))[0], by_reference(deep)[0], atol=3e-6)
    assert np.abs(np.asarray(by_pyseg(deep))[0] - by_pyseg(flat)).max() < 0.1


# ---- kinds and types


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_beliefs_are_of_the_unary_terms_type(dtype):
    problem = random_problem(6)
    unary = problem.unary.astype(dtype)
    q = by_pyseg(Problem(unary, problem.image, problem.kernels, 4))
    assert q.dtype == dtype
    wide = by_pyseg(Problem(unary.astype(np.float32), problem.image, problem.kernels, 4))
    np.testing.assert_array_equal(q, wide.astype(dtype))
    tensor = by_pyseg(Problem(torch.from_numpy(unary), torch.from_numpy(problem.image), problem.kernels, 4))
    assert tensor.numpy().dtype == dtype
    np.testing.assert_array_equal(tensor.numpy(), q)


def test_bfloat16_is_its_float32():
    problem = to_tensors(random_problem(6))
    half = problem.unary.bfloat16()
    q = by_pyseg(Problem(half, problem.image, problem.kernels, 4))
    assert q.dtype == torch.bfloat16
    assert torch.equal(q, by_pyseg(Problem(half.float(), problem.image, problem.kernels, 4)).bfloat16())


def test_the_range_of_the_image_does_not_matter_with_that_of_its_sigma():
    problem = random_problem(7)
    bilateral = problem.kernels[1]
    scaled = bilateral | {"srgb": tuple(s * 16 for s in bilateral["srgb"])}
    q = by_pyseg(Problem(problem.unary, problem.image.astype(np.uint16) * 16, [problem.kernels[0], scaled]))
    np.testing.assert_array_equal(q, by_pyseg(Problem(problem.unary, problem.image, problem.kernels)))


def test_labels_are_sure_by_gt_prob():
    labels = np.random.default_rng(0).integers(-1, 3, (20, 23))
    image = samples.image("photo", (20, 23))
    energy = np.full((20, 23, 3), -np.log(0.1), np.float32)
    for k in range(3):
        energy[labels == k, k] = -np.log(0.8)
    energy[labels < 0] = np.log(3)
    expected = pyseg.dense_crf(energy, image, unary_from="energy")
    q = pyseg.dense_crf(labels, image, unary_from="labels", n_classes=3, gt_prob=0.8)
    np.testing.assert_allclose(q, expected, atol=1e-6)
    assert q.dtype == np.float32
