"""CUDA kernels, executed on the CPU under AddressSanitizer and in shuffled schedules, give the CPU op's labels."""

from concurrent.futures import ThreadPoolExecutor

import pytest

SEEDS = [None, 1, 2, 3]


@pytest.fixture(scope="session")
def told(slic_driver, run_host):
    """told(seed): what the driver says of all its cases, two processes at a time."""
    names = run_host(slic_driver).stdout.split()
    kept = {}

    def tell(seed):
        if seed not in kept:
            with ThreadPoolExecutor(2) as pool:
                parts = list(pool.map(lambda part: run_host(slic_driver, *part, seed=seed), (names[::2], names[1::2])))
            kept[seed] = parts
        return kept[seed]

    return tell


@pytest.mark.parametrize("seed", SEEDS)
def test_labels_are_the_cpu_ops(told, seed):
    parts = told(seed)
    wrong = [line for part in parts for line in part.stdout.splitlines() if " 0 differ" not in line]
    errors = "\n".join(part.stderr[-3000:] for part in parts if part.returncode)
    assert not wrong, "\n".join(wrong)
    assert all(part.returncode == 0 for part in parts), errors


@pytest.mark.parametrize("seed", SEEDS[1:])
def test_no_schedule_shows(told, seed):
    assert [part.stdout for part in told(seed)] == [part.stdout for part in told(None)]


# --- the host execution itself sees what is wrong ------------------------------------------------
@pytest.mark.parametrize("seed", SEEDS)
def test_host_execution_is_right(selftest, run_host, seed):
    done = run_host(selftest, seed=seed)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]


def test_an_overrun_is_seen(selftest, run_host):
    done = run_host(selftest, "overrun")
    assert done.returncode != 0
    assert "AddressSanitizer: heap-buffer-overflow" in done.stderr


@pytest.mark.parametrize("fault", ["racy", "interleaved"])
def test_a_race_changes_with_the_schedule(selftest, run_host, fault):
    assert len({run_host(selftest, fault, seed=seed).stdout for seed in SEEDS}) > 1


def test_a_barrier_that_not_all_reach_is_named(selftest, run_host):
    done = run_host(selftest, "divergent")
    assert done.returncode != 0
    assert "cannot go on" in done.stderr
    assert "selftest.cu:" in done.stderr
