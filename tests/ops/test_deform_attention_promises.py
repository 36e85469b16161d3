"""What deform_attention promises of every result: the same bits whatever computes them, and flat memory."""

import threading

import pytest
import torch
from deform_problems import random_fused, random_points, to

import pyseg

PROBLEMS = {
    "an encoder": {"shapes": [(16, 20), (8, 10), (4, 5)], "queries": 420, "channels": 32, "heads": 8},
    "a wide encoder, in strips": {"shapes": [(5, 151), (3, 90)], "queries": 1025, "points": 5, "batch": 1},
    "a decoder": {"shapes": [(16, 20), (8, 10)], "queries": 5, "channels": 32, "heads": 8},
    "one head, wide": {"queries": 130, "heads": 1, "channels": 200, "batch": 1},
    "odd": {"queries": 77, "channels": 5, "points": 3},
    "many points": {"shapes": [(9, 9)], "queries": 20, "points": 700},
    "most outside": {"low": -4, "high": 5, "queries": 99},
}
KINDS = {"locations": None, "points": 2, "boxes": 4}


def make(name, kind, dtype):
    options = PROBLEMS[name]
    return to(random_points(1, **options) if kind is None else random_fused(1, kind, **options), dtype)


def results(problem, kind):
    """Result and all gradients."""
    leaves = [x.clone().requires_grad_() for x in problem if isinstance(x, torch.Tensor)]
    function = pyseg.deform_attention if kind is None else pyseg.deform_attention_fused
    result = function(leaves[0], problem.shapes, *leaves[1:])
    cotangent = torch.randn(result.shape, generator=torch.Generator().manual_seed(0)).to(result.dtype)
    return [result.detach(), *torch.autograd.grad(result, leaves, cotangent)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PROBLEMS)
def test_threads_and_instruction_sets_give_the_same_bits(name, kind, dtype, set_isa):
    problem = make(name, KINDS[kind], dtype)
    torch.set_num_threads(1)
    expected = results(problem, KINDS[kind])
    for isa in ("baseline", "avx2", "avx512"):
        set_isa(isa)
        for threads in (1, 2, 5, 32):
            torch.set_num_threads(threads)
            for mine, wanted in zip(results(problem, KINDS[kind]), expected, strict=True):
                assert torch.equal(mine, wanted), (isa, threads)


def test_numpys_threads_give_the_same_bits():
    problem = make("an encoder", None, torch.float32)
    arrays = [x.numpy() if isinstance(x, torch.Tensor) else x for x in problem]
    expected = pyseg.deform_attention(*problem).numpy()
    for threads in (1, 2, 5):
        pyseg.set_num_threads(threads)
        assert (pyseg.deform_attention(*arrays) == expected).all()


def test_eight_python_threads_at_once():
    problems = [make(name, 2, torch.float32) for name in PROBLEMS]
    expected = [results(p, 2) for p in problems]
    wrong = []

    def work(i):
        for _ in range(5):
            got = results(problems[i % len(problems)], 2)
            if not all(map(torch.equal, got, expected[i % len(problems)])):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert not any(thread.is_alive() for thread in threads)


MEMORY = """
import torch, pyseg

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

shapes = [(16, 20), (8, 10)]
value, points = torch.rand(1, 400, 4, 32, requires_grad=True), torch.rand(1, 300, 4, 2, 4, 2, requires_grad=True)
weights = torch.rand(1, 300, 4, 2, 4, requires_grad=True)
arrays = [x.detach().numpy() for x in (value, points, weights)]
for i in range(401):
    pyseg.deform_attention(value, shapes, points, weights).sum().backward()
    pyseg.deform_attention(arrays[0], shapes, *arrays[1:])
    if i == 100:
        before = resident()
print(resident() - before)
"""


def test_memory_is_flat_over_hundreds_of_calls(run_python):
    assert int(run_python(MEMORY, timeout=300)) < 6 * 2**20


PEAK = """
import resource, torch, pyseg
shapes = [(128, 256), (64, 128), (32, 64)]
S, M = sum(h * w for h, w in shapes), 8
value, points = torch.rand(1, S, M, 32), torch.rand(1, 4000, M, 3, 4, 2)
weights = torch.rand(1, 4000, M, 3, 4)
torch.set_num_threads(1)
pyseg.deform_attention(value[:, :6, :, :8], [(2, 3)], points[:, :, :, :1], weights[:, :, :, :1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
pyseg.deform_attention(value, shapes, points, weights)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / (value.numel() * 4))
"""


def test_a_call_needs_a_heads_share_of_memory(run_python):
    """One head's copy and the result: of value's 44 MB an eighth, and 4 MB."""
    assert float(run_python(PEAK)) < 0.4
