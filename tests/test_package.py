"""What the package is, as installed: light to import, typed, and free of symbols that would tie it down."""

import re
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

import pyseg
from pyseg import _runtime


def test_numpy_users_import_no_torch(run_python):
    code = """
import sys, numpy as np, pyseg
pyseg.slic(np.zeros((40, 40, 3), np.uint8), 9, return_stats=True)
heavy = {"torch", "typer", "rich", "PIL", "skimage", "scipy", "matplotlib"} & sys.modules.keys()
print(sorted(heavy))
maps = open("/proc/self/maps").read()
print([name for name in ("libgomp", "libomp", "libiomp") if name in maps])
"""
    assert run_python(code, OMP_NUM_THREADS="1").split("\n")[:2] == ["[]", "[]"]


def test_import_is_light(run_python):
    code = "import time; t = time.perf_counter(); import numpy; n = time.perf_counter(); import pyseg; " + (
        "print(n - t, time.perf_counter() - n)"
    )
    numpy, ours = map(float, run_python(code).split())
    print(f"import numpy {numpy:.3f} s, then pyseg {ours:.3f} s")
    assert ours < 3  # 0.05 s on a quiet machine


def test_version_is_the_distributions():
    assert pyseg.__version__ == version("pyseg") == _runtime.native().__version__


def test_types_are_there():
    for name in ("py.typed", "_native.pyi"):
        assert (Path(pyseg.__file__).parent / name).is_file()


def test_info_says_what_loaded_and_why_not():
    info = pyseg.info()
    assert info["libraries"]["numpy"] == {"loaded": True, "reason": None}
    assert info["libraries"]["torch"] == {"loaded": True, "reason": None}
    for library in info["libraries"].values():
        assert library["loaded"] != bool(library["reason"])
    assert info["isa"] in ("baseline", "avx2", "avx512", "avx512_bf16")
    assert info["threads"] >= 1


def undefined(path):
    """Names of no version: what libc, libstdc++ and libgcc do not have."""
    if shutil.which("nm") is None:
        pytest.skip("no nm here")
    lines = subprocess.run(["nm", "-D", "--undefined-only", path], capture_output=True, text=True, check=True).stdout
    return [line.split(maxsplit=1)[1] for line in lines.splitlines() if "@" not in line]


@pytest.mark.parametrize("name", ["libpyseg_torch.so", "libpyseg_torch_cuda.so"])
def test_the_torch_libraries_need_only_the_stable_abi(name):
    path = _runtime._find(name)
    if path is None:
        pytest.skip(f"{name} was not built")
    symbols = undefined(path)
    # std::exception_ptr's are libstdc++'s as well, but weak and so without a version.
    allowed = r"(aoti_)?torch_|_ZNSt15__exception_ptr|_ITM_(de)?registerTMCloneTable$|__gmon_start__$"
    assert [s for s in symbols if not re.match(allowed, s)] == []
    assert [s for s in symbols if re.match(r"(aoti_)?torch_", s)]


def test_no_symbol_is_shared_between_instruction_sets():
    """The linker keeps one copy of a weak symbol: it could be the one built for a wider instruction set."""
    folder = Path(__file__).parents[1] / "build"
    objects = [p for isa in ("avx2", "avx512") for p in folder.glob(f"*/CMakeFiles/pyseg_{isa}.dir/**/*.o")]
    if not objects or shutil.which("nm") is None:
        pytest.skip("no object files here")
    for path in objects:
        listing = subprocess.run(["nm", "-C", path], capture_output=True, text=True, check=True).stdout
        assert not re.findall(r"^\S* W .*", listing, re.MULTILINE), path
