"""What all tests share: ``import samples``, Python in a process of its own, and settings put back after each test."""

import os
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # samples.py

# Before torch is imported: its threads would spin for their turn, on processors that others share, for a hundred times
# as long as these small calls take.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

hypothesis.settings.register_profile("pyseg", deadline=None, print_blob=True)
hypothesis.settings.load_profile("pyseg")


@pytest.fixture(scope="session")
def run_python():
    """run_python(code, *arguments, timeout=60, **environment): what the code prints; its failure is the test's."""

    def run(code, *arguments, timeout=60, **environment):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=timeout,
            env=os.environ | {"PYTHONFAULTHANDLER": "1"} | environment,
        )
        assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr[-3000:]}"
        return done.stdout

    return run
