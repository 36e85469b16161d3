"""Programs of CUDA kernels that run on the CPU (host/cuda_host.h says how). Built once, kept by content."""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OPS = ("core", "lab", "connectivity", "slic")
SANITIZE = "-fsanitize=address,undefined"
FLAGS = [
    *("-std=c++20", "-O1", "-g1", SANITIZE, "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"),
    *("-ffp-contract=off", "-Wall", "-Wextra", "-Wno-psabi", "-DCUDA_HOST", "-DPYSEG_ISA=baseline"),
]


def _include_folders():
    """Where the CUDA headers may be: nvcc's own, then those of NVIDIA's wheels."""
    nvcc = shutil.which("nvcc") or shutil.which("nvcc", path=os.path.join(os.environ.get("CUDA_HOME", ""), "bin"))
    if nvcc:
        said = subprocess.run([nvcc, "--dryrun", "-c", "x.cu"], capture_output=True, text=True, timeout=60).stderr
        yield from (Path(folder) for folder in re.findall(r'"-I([^"]+)"', said))
    spec = importlib.util.find_spec("nvidia")
    for folder in spec.submodule_search_locations or [] if spec else []:
        yield from Path(folder).glob("*/include")


@pytest.fixture(scope="session")
def cuda_include():
    """The folder of CUDA's headers; skips where there is none, or no g++."""
    if shutil.which("g++") is None:
        pytest.skip("host execution of CUDA kernels needs g++")
    for folder in _include_folders():
        if all((folder / name).is_file() for name in ("driver_types.h", "vector_types.h", "vector_functions.h")):
            return folder.resolve()
    return pytest.skip("host execution of CUDA kernels needs CUDA's headers: no nvcc, no NVIDIA wheel")


def _digest(*parts):
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:24]


def _kept():
    """A folder that outlives the session; what nobody has used for three days goes."""
    folder = Path(tempfile.gettempdir()) / f"pyseg-cuda-host-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        if path.stat().st_mtime < time.time() - 3 * 86400:
            path.unlink(missing_ok=True)
    return folder


def _run(command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stderr[-4000:]}"
    assert not done.stderr, done.stderr[-4000:]  # no warnings


@pytest.fixture(scope="session")
def build_host(cuda_include):
    """build_host(sources): the path of the program that g++ makes of them."""
    folder = _kept()
    include = [f"-I{ROOT / name}" for name in ("cuda", "cpp", "tests/cuda/host")] + ["-isystem", cuda_include]
    headers = [
        path.read_text()
        for top in ("cpp", "cuda", "tests/cuda")
        for path in sorted((ROOT / top).rglob("*"))
        if path.suffix in (".h", ".cuh")
    ]
    common = _digest(FLAGS, include, *headers)

    def make(target, command):
        if target.is_file():
            os.utime(target)
            return target
        draft = target.with_suffix(f".{os.getpid()}")
        _run([*command, "-o", draft])
        draft.replace(target)
        return target

    def compiled(source):
        target = folder / f"{source.stem}-{_digest(common, source.read_text())}.o"
        return make(target, ["g++", *FLAGS, *include, "-x", "c++", "-c", source])

    def build(sources):
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            objects = list(pool.map(compiled, sources))
        program = folder / f"program-{_digest(*objects)}"
        return make(program, ["g++", SANITIZE, *objects])

    return build


@pytest.fixture(scope="session")
def run_host():
    """run_host(program, *arguments, seed=None): the finished process, its schedule drawn from `seed`."""

    def run(program, *arguments, seed=None):
        env = {name: value for name, value in os.environ.items() if name != "CUDA_HOST_SEED"}
        env["ASAN_OPTIONS"] = "detect_leaks=0"
        if seed is not None:
            env["CUDA_HOST_SEED"] = str(seed)
        return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=500, env=env)

    return run


def sources_of(*tops):
    """The kernels' sources under cuda/ and cpp/, without the bindings."""
    skip = {"torch.cpp", "numpy.cpp", "cupy.cpp", "libtorch_cuda_stub.cpp"}
    found = [path for top in tops for op in OPS for path in sorted((ROOT / top / op).glob("*.c*"))]
    return [path for path in found if path.suffix in (".cpp", ".cu") and path.name not in skip]


@pytest.fixture(scope="session")
def slic_driver(build_host):
    return build_host([ROOT / "tests/cuda/slic_driver.cpp", *sources_of("cuda", "cpp")])


@pytest.fixture(scope="session")
def selftest(build_host):
    return build_host([ROOT / "tests/cuda/host/selftest.cu"])
