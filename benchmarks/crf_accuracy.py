"""dense_crf's other figures: how near its filters are to the exact Gaussian, and how much memory it takes."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from photographs import photographs

import pyseg

__all__ = ["accuracy", "memory"]

HERE = Path(__file__).resolve().parent
NORMALIZATIONS = ("none", "symmetric", "before", "after")


def accuracy(size: int = 64) -> list[dict[str, Any]]:
    """Relative RMS error of the filter of random values against O(N^2) sums in float64, on size x size pixels."""
    rng = np.random.default_rng(0)
    image = photographs(size, size)[0]
    probabilities = 0.55 + 0.4 * rng.random((size * size, 4))
    values = (2 * probabilities - 1).astype(np.float32)  # what pydensecrf can be made to filter, see below
    y, x = np.mgrid[:size, :size].reshape(2, -1)
    pixels = image.reshape(-1, 3)
    kernels = {
        "2-D, sxy 3": np.stack([x / 3, y / 3], 1),
        "5-D, sxy 20, srgb 13": np.concatenate([np.stack([x / 20, y / 20], 1), pixels / 13], 1),
        "5-D, sxy 20, srgb 50": np.concatenate([np.stack([x / 20, y / 20], 1), pixels / 50], 1),
    }
    rows = []
    for name, features in kernels.items():
        exact_kernel = _exact(features)
        for normalization in NORMALIZATIONS:
            exact = _normalized(exact_kernel, values, normalization)
            lattice = pyseg.PermutohedralLattice(features.astype(np.float32))
            ours = lattice.filter(values, normalization=None if normalization == "none" else normalization)
            row = {"kernel": name, "normalization": normalization, "pyseg": _rms(ours, exact)}
            theirs = _pydensecrf_filter(features, probabilities, normalization)
            if theirs is not None:
                row["pydensecrf"] = _rms(theirs, exact)
            rows.append(row)
    return rows


def _exact(features: NDArray[np.float64]) -> NDArray[np.float64]:
    square = (features**2).sum(1)
    return np.exp(-0.5 * np.maximum(square[:, None] + square - 2 * features @ features.T, 0))


def _normalized(kernel: NDArray[np.float64], values: NDArray[Any], normalization: str) -> NDArray[np.float64]:
    n = kernel.sum(1, keepdims=True) + 1e-20
    if normalization == "none":
        return kernel @ values
    if normalization == "symmetric":
        return (kernel @ (values / np.sqrt(n))) / np.sqrt(n)
    return kernel @ (values / n) if normalization == "before" else (kernel @ values) / n


def _rms(result: NDArray[Any], exact: NDArray[np.float64]) -> float:
    return float(np.sqrt(((result - exact) ** 2).mean() / (exact**2).mean()))


def _pydensecrf_filter(
    features: NDArray[np.float64], probabilities: NDArray[np.float64], normalization: str
) -> NDArray[np.float64] | None:
    """Its filter of 2 p - 1. It gives none away, but with two classes of probabilities p and 1 - p a step of the mean
    field adds w K (2 p - 1) to their log-odds."""
    try:
        densecrf = importlib.import_module("pydensecrf.densecrf")
    except ImportError:
        return None
    how = {
        "none": densecrf.NO_NORMALIZATION,
        "symmetric": densecrf.NORMALIZE_SYMMETRIC,
        "before": densecrf.NORMALIZE_BEFORE,
        "after": densecrf.NORMALIZE_AFTER,
    }[normalization]
    weight = 2e-3 if normalization == "none" else 1.0  # raw sums are in the hundreds
    columns = []
    for p in probabilities.T:
        unary = -np.log(np.stack([p, 1 - p]))
        crf = densecrf.DenseCRF(len(p), 2)
        crf.setUnaryEnergy(np.ascontiguousarray(unary, np.float32))
        crf.addPairwiseEnergy(np.ascontiguousarray(features.T, np.float32), compat=weight, normalization=how)
        q = np.array(crf.inference(1), np.float64)
        columns.append((np.log(q[0] / q[1]) - (unary[1] - unary[0])) / weight)
    return np.stack(columns, 1)


_MEASURE = """
import re, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import numpy as np
import crf_cases, pyseg
case = crf_cases.CASES[sys.argv[3]]
pair = crf_cases.inputs(case)[0]
run = getattr(crf_cases, "run_" + sys.argv[2])
small = (pair[0][:32, :32].copy(), pair[1][:, :32, :32].copy())
tiny = crf_cases.Case("", 32, 32, case.classes, case.sxy, case.srgb, case.weight)
run(tiny, small)  # imports and pools
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
status = lambda key: int(re.search(key + r":\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])
before = status("VmRSS")
run(case, pair)
print((status("VmHWM") - before) / 1024)
"""


def memory(case: str = "cityscapes") -> dict[str, float]:
    """MiB by which the process's peak grows in the first call, result included, of each that is installed."""
    result = {}
    for name in ("pyseg", "pydensecrf"):
        done = subprocess.run(
            [sys.executable, "-c", _MEASURE, str(HERE), name, case], capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            result[name] = float(done.stdout.strip().splitlines()[-1])
    return result
