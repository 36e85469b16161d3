"""What dense_crf and the lattice promise of every result: the same bits whatever computes them, and flat memory."""

import threading

import numpy as np
import pytest
import samples
import torch
from crf_problems import NORMALIZATIONS, Problem, by_pyseg, by_reference, random_problem, to_tensors
from numpy.lib.stride_tricks import as_strided

import pyseg

MATRIX = np.random.default_rng(0).uniform(-1, 1, (5, 5)).astype(np.float32)

PROBLEMS = {
    "two classes": {"classes": 2, "shape": (75, 140)},
    "one class": {"classes": 1},
    "three classes": {"classes": 3, "shape": (75, 140)},
    "21 classes": {"classes": 21, "shape": (40, 70)},
    "70 classes": {"classes": 70, "shape": (20, 30)},
    "a matrix": {"classes": 5, "compat": MATRIX},
    "a vector": {"classes": 5, "compat": MATRIX[0]},
    "after": {"normalization": "after"},
    "before": {"normalization": "before"},
    "raw": {"normalization": None, "weight": 0.02},
    "only a Gaussian": {"kinds": ("gaussian",), "shape": (75, 140)},
    "three kernels": {"kinds": ("gaussian", "bilateral", "bilateral")},
    "features": {"kinds": ("features",), "shape": (3000,)},
    "a volume": {"shape": (9, 20, 22), "channels": 1, "classes": 3},
    "float32": {"dtype": "float32"},
    "uint16": {"dtype": "uint16", "channels": 5},
    "one row": {"shape": (1, 1000)},
}


def make(name):
    return random_problem(sorted(PROBLEMS).index(name), **PROBLEMS[name])


@pytest.fixture(scope="module")
def expected():
    """By one thread on the widest instruction set."""
    pyseg.set_num_threads(1)
    found = {}
    for name in PROBLEMS:
        for storage in ("float32", "float16"):
            found[name, storage] = by_pyseg(make(name), storage=storage)
    return found


@pytest.mark.parametrize("storage", ["float32", "float16"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_threads_instruction_sets_and_torch_give_the_same_bits(name, storage, isa, expected):
    problem = make(name)
    for threads in (1, 2, 4):
        pyseg.set_num_threads(threads)
        torch.set_num_threads(threads)
        np.testing.assert_array_equal(by_pyseg(problem, storage=storage), expected[name, storage])
        tensor = by_pyseg(to_tensors(problem), storage=storage)
        assert isinstance(tensor, torch.Tensor)
        np.testing.assert_array_equal(tensor.numpy(), expected[name, storage])


CLOUDS = {  # d, N, C, dtype, spread
    "1-D": (1, 900, 2, "float32", 30),
    "2-D": (2, 5000, 21, "float32", 9),
    "5-D": (5, 3000, 4, "float32", 3),
    "5-D, many channels": (5, 500, 130, "float32", 3),
    "16-D": (16, 400, 3, "float32", 1),
    "3-D, far": (3, 700, 3, "float32", 5000),
    "5-D in float64": (5, 900, 7, "float64", 3),
    "far in float64": (2, 900, 7, "float64", 1e6),
}


def cloud(name):
    d, n, channels, dtype, spread = CLOUDS[name]
    rng = np.random.default_rng(sorted(CLOUDS).index(name))
    return (rng.normal(0, spread, (n, d))).astype(dtype), rng.random((n, channels)).astype(dtype)


@pytest.fixture(scope="module")
def expected_filters():
    pyseg.set_num_threads(1)
    found = {}
    for name in CLOUDS:
        features, values = cloud(name)
        lattice = pyseg.PermutohedralLattice(features)
        found[name] = [
            lattice.filter(values, normalization=normalization, transpose=transpose)
            for normalization in NORMALIZATIONS
            for transpose in (False, True)
        ]
    return found


@pytest.mark.parametrize("name", CLOUDS)
def test_filters_are_the_same_bits(name, isa, expected_filters):
    features, values = cloud(name)
    for threads in (1, 2, 4):
        pyseg.set_num_threads(threads)
        lattice = pyseg.PermutohedralLattice(features)
        tensors = pyseg.PermutohedralLattice(torch.from_numpy(features))
        ways = [(n, t) for n in NORMALIZATIONS for t in (False, True)]
        for (normalization, transpose), wanted in zip(ways, expected_filters[name], strict=True):
            options = {"normalization": normalization, "transpose": transpose}
            assert wanted.dtype == features.dtype
            np.testing.assert_array_equal(lattice.filter(values, **options), wanted)
            np.testing.assert_array_equal(tensors.filter(torch.from_numpy(values), **options).numpy(), wanted)


def test_gradients_are_the_same_bits(isa):
    problem = to_tensors(random_problem(3, (40, 50), classes=3))

    def gradients():
        unary = problem.unary.clone().requires_grad_()
        compat = torch.eye(3).neg().requires_grad_()
        q = by_pyseg(Problem(unary, problem.image, problem.kernels, 3), compat=compat)
        return torch.autograd.grad((q * q).sum(), (unary, compat))

    results = []
    for threads in (1, 2, 4):
        torch.set_num_threads(threads)
        pyseg.set_num_threads(threads)
        results.append(gradients())
    for more in results[1:]:
        for mine, first in zip(more, results[0], strict=True):
            assert torch.equal(mine, first)


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


def one_by_one(problems, image_too=True):
    return np.stack([np.moveaxis(by_pyseg(p), -1, 0) for p in problems])


@pytest.mark.parametrize("as_tensor", [False, True])
def test_a_batch_is_its_images(as_tensor):
    shared = random_problem(0, (20, 23), 3)
    problems = [Problem(p.unary, p.image, shared.kernels) for p in (random_problem(s, (20, 23), 3) for s in range(3))]
    unary, image = (
        np.stack([np.moveaxis(x, -1, 0) for x in xs])
        for xs in zip(*[(p.unary, p.image) for p in problems], strict=True)
    )
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
    unary, image = (
        np.stack([np.moveaxis(x, -1, 0) for x in xs])
        for xs in zip(*[(p.unary, p.image) for p in problems], strict=True)
    )
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
    np.testing.assert_array_equal(q, by_pyseg(problem.__class__(problem.unary, problem.image, problem.kernels)))


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


# ---- processes


def test_eight_python_threads_at_once():
    problems = [random_problem(i, (30 + i, 40), 2 + i) for i in range(8)]
    pyseg.set_num_threads(2)
    expected = [by_pyseg(p) for p in problems]
    wrong = []

    def work(i):
        for _ in range(10):
            if not np.array_equal(by_pyseg(problems[i]), expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert not any(thread.is_alive() for thread in threads)


def test_a_plan_is_shared_by_threads():
    features, values = cloud("2-D")
    lattice = pyseg.PermutohedralLattice(features)
    expected = lattice.filter(values, normalization="symmetric")
    wrong = []

    def work():
        for _ in range(10):
            if not np.array_equal(lattice.filter(values, normalization="symmetric"), expected):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong


MEMORY = """
import sys, numpy as np, pyseg

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

rng = np.random.default_rng(0)
p, image = rng.random((40, 50, 4), np.float32), rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
features = rng.normal(0, 2, (900, 5)).astype(np.float32)
if sys.argv[1] == "torch":
    import torch
    p, image, features = (torch.from_numpy(x) for x in (p, image, features))
    p.requires_grad_()
for i in range(601):
    q = pyseg.dense_crf(p, image, n_iter=2)
    if sys.argv[1] == "torch":
        q.sum().backward()
    else:
        pyseg.dense_crf(p[..., :2], image, n_iter=1, storage="float16")
    pyseg.PermutohedralLattice(features).filter(features, normalization="after")
    if i == 100:
        before = resident()
print(resident() - before)
"""


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_memory_is_flat_over_hundreds_of_calls(kind, run_python):
    assert int(run_python(MEMORY, kind, timeout=300)) < 6 * 2**20
