"""The wheel, installed where there is neither torch nor a compiler in sight, works."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

WORK = """
import sys
import numpy as np
import pyseg
labels, stats = pyseg.slic(np.tile(np.arange(64, dtype=np.uint8), (48, 1)), 12, return_stats=True)
assert labels.shape == (48, 64) and labels.dtype == np.int32 and stats.n == labels.max() + 1 > 6
info = pyseg.info()
assert info["libraries"]["numpy"]["loaded"], info
torch = info["libraries"]["torch"]
assert not torch["loaded"] and torch["reason"] == "torch is not installed", info
assert "torch" not in sys.modules
print(pyseg.__version__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("scikit_build_core")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder]
    options = ["-Ccmake.define.PYSEG_CUDA=OFF", f"-Cbuild-dir={folder / 'build'}"]
    subprocess.run([*command, *options, ROOT], check=True, timeout=500)
    (path,) = folder.glob("pyseg-*.whl")
    return path


def test_wheel_holds_the_libraries_and_the_types(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"pyseg/py.typed", "pyseg/_native.pyi", "pyseg/libpyseg_torch.so", "pyseg/ops/slic.py"} <= names
    assert any(n.startswith("pyseg/_native.cpython") for n in names)
    assert not any(n.startswith(("cpp/", "tests/", "cuda/")) for n in names)


def test_wheel_works_in_a_bare_environment(wheel: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "bare"], check=True)
    python = tmp_path / "bare" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", wheel], check=True, timeout=500)
    done = subprocess.run([python, "-c", WORK], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == wheel.name.split("-")[1]
