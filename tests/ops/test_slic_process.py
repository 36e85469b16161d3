"""slic in a process: Python threads, forks, data loaders, memory."""

import os
import threading

import numpy as np
import pytest
import samples

import pyseg


def test_eight_python_threads_at_once():
    images = [samples.image("photo", (60 + i, 80), 3, "uint8" if i % 2 else "float32", i) for i in range(8)]
    pyseg.set_num_threads(2)
    expected = [pyseg.slic(image, 30) for image in images]
    wrong = []

    def work(i):
        for _ in range(20):
            if not np.array_equal(pyseg.slic(images[i], 30), expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert not any(thread.is_alive() for thread in threads)


def test_the_number_of_threads_may_change_at_any_time():
    images = [samples.image("photo", (90, 80), 3, dtype) for dtype in ("uint8", "float32")]
    expected = [pyseg.slic(image, 30) for image in images]
    wrong, done = [], threading.Event()

    def work(i):
        while not done.is_set():
            if not np.array_equal(pyseg.slic(images[i], 30), expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i % 2,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for i in range(200):
        pyseg.set_num_threads(1 + i % 4)
        pyseg.slic(images[0], 5)
    done.set()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert not any(thread.is_alive() for thread in threads)


FORK = """
import os, sys, threading, warnings
import numpy as np, pyseg
warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of any fork beside threads
pyseg.set_num_threads(4)
image = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
expected = pyseg.slic(image, 60)
done = threading.Event()
def work():
    while not done.is_set():
        pyseg.slic(image, 60)
busy = [threading.Thread(target=work) for _ in range(int(sys.argv[1]))]
for thread in busy:
    thread.start()
for _ in range(5):
    child = os.fork()
    if child == 0:
        ok = np.array_equal(pyseg.slic(image, 60), expected)
        os._exit(0 if ok else 1)
    _, status = os.waitpid(child, 0)
    assert status == 0, status
    assert np.array_equal(pyseg.slic(image, 60), expected)
done.set()
for thread in busy:
    thread.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("busy", [0, 2])
def test_a_forked_child_works_also_of_a_busy_process(busy, run_python):
    run_python(FORK, busy)


LOADER = """
import numpy as np, torch, pyseg

class Pictures(torch.utils.data.Dataset):
    def __len__(self):
        return 8
    def __getitem__(self, i):
        image = np.random.default_rng(i).integers(0, 256, (60, 80, 3), dtype=np.uint8)
        return pyseg.slic(image, 20), pyseg.slic(torch.from_numpy(image), 20)

if __name__ == "__main__":
    first = Pictures()[0][0]
    torch.set_num_threads(2)
    pyseg.slic(torch.zeros(200, 300, 3), 60)  # torch's own threads are there before the fork
    loader = torch.utils.data.DataLoader(Pictures(), batch_size=2, num_workers=2, multiprocessing_context="fork")
    for by_numpy, by_torch in loader:
        assert torch.equal(by_numpy, by_torch)
"""


def test_in_data_loader_workers(run_python):
    run_python(LOADER)


MEMORY = """
import sys, numpy as np, pyseg

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

rng = np.random.default_rng(0)
bytes_, floats = rng.integers(0, 256, (120, 160, 3), dtype=np.uint8), rng.random((60, 70, 3), np.float32)
if sys.argv[1] == "torch":
    import torch
    bytes_, floats = torch.from_numpy(bytes_), torch.from_numpy(floats)
for i in range(1001):
    pyseg.slic(bytes_, 60)
    pyseg.slic(floats, 20, return_stats=i % 10 == 0)
    if i == 100:
        before = resident()
print(resident() - before)
"""


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_memory_is_flat_over_a_thousand_calls(kind, run_python):
    assert int(run_python(MEMORY, kind, timeout=200)) < 4 * 2**20


def test_environment_sets_threads_and_instruction_set(run_python):
    code = "import pyseg; print(pyseg.get_num_threads(), pyseg.info()['isa'])"
    assert run_python(code, PYSEG_NUM_THREADS="3", PYSEG_ISA="baseline").split() == ["3", "baseline"]


@pytest.mark.parametrize(
    "image", ["np.zeros((9, 9), 'u1')", "np.zeros((9, 9), 'f4')", "torch.zeros(9, 9).byte()", "torch.zeros(9, 9)"]
)
def test_an_unknown_instruction_set_is_an_error_in_words(image, run_python):
    code = f"""
import numpy as np, pyseg
{"import torch" if "torch" in image else ""}
try:
    pyseg.slic({image}, 4)
except ValueError as error:
    print(error)
"""
    assert "PYSEG_ISA must be baseline, avx2, avx512 or avx512_bf16, got 'sse9'" in run_python(code, PYSEG_ISA="sse9")


@pytest.mark.parametrize("threads", ["many", "0", "-3", "2x", "1.5", "1025", "99999999999999999999"])
def test_a_number_of_threads_that_is_none_is_an_error_in_words(threads, run_python):
    code = """
import numpy as np, pyseg
for call in (pyseg.get_num_threads, lambda: pyseg.slic(np.zeros((9, 9), np.uint8), 4)):
    try:
        call()
    except ValueError as error:
        print(error)
"""
    said = run_python(code, PYSEG_NUM_THREADS=threads).splitlines()
    assert len(said) == 2
    assert all("PYSEG_NUM_THREADS must be" in line and threads in line for line in said)
