"""What dense_crf and the lattice promise of every result: the same bits whatever computes them, and flat memory."""

import threading

import numpy as np
import pytest
import torch
from crf_problems import NORMALIZATIONS, Problem, by_pyseg, random_problem, to_tensors

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
    "more than 2^16 pixels": {"shape": (260, 300), "classes": 3, "n_iter": 2},
    "more than 2^16 pixels, two classes": {"shape": (260, 300), "classes": 2, "n_iter": 2},
    "more than 2^16 pixels, a matrix": {"shape": (260, 300), "classes": 5, "n_iter": 1, "compat": MATRIX},
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
    "more than 2^16 points": (3, 150_000, 2, "float32", 3),
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
