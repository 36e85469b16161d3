"""Finds and loads the compiled libraries, says which did, and holds what is set for all ops."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

from pyseg._check import integer

_native: ModuleType | None
try:
    _native = importlib.import_module("pyseg._native")
    _native_reason = ""
except ImportError as error:  # another Python's build, or none: torch users can still work
    _native = None
    _native_reason = str(error)

try:
    __version__ = version("pyseg")
except PackageNotFoundError:
    __version__ = "0+unknown"

_torch_ops: Any = None
_torch_reason = "torch is not imported yet"
_cuda_reason = "torch is not imported yet"


def native() -> Any:
    """The NumPy library, ``pyseg._native``. Raises ImportError with the reason where it could not be loaded."""
    if _native is None:
        raise ImportError(f"pyseg's NumPy library could not be loaded: {_native_reason}")
    return _native


def native_cuda() -> Any:
    """The CuPy library, ``pyseg._native_cuda``, or None where it was not built or does not load."""
    try:
        return importlib.import_module("pyseg._native_cuda")
    except ImportError:
        return None


def _find(name: str) -> Path | None:
    import pyseg

    folders = [Path(p) for p in pyseg.__path__]
    if _native is not None and _native.__file__:
        folders.insert(0, Path(_native.__file__).parent)
    spec = importlib.util.find_spec("pyseg")
    if spec is not None and spec.submodule_search_locations:
        folders += [Path(p) for p in spec.submodule_search_locations]
    folders += [Path(p) / "pyseg" for p in sys.path if p]
    return next((f / name for f in folders if (f / name).is_file()), None)


def torch_ops() -> Any:
    """``torch.ops.pyseg``, with its libraries loaded and its fake kernels registered.

    Raises ImportError with the reason where the library is missing or does not fit the torch that is there.
    """
    global _torch_ops, _torch_reason, _cuda_reason
    if _torch_ops is not None:
        return _torch_ops
    import torch

    path = _find("libpyseg_torch.so")
    if path is None:
        _torch_reason = "libpyseg_torch.so was not built"
        raise ImportError(f"pyseg's torch library could not be loaded: {_torch_reason}")
    try:
        torch.ops.load_library(str(path))  # type: ignore[no-untyped-call]
    except OSError as error:
        _torch_reason = str(error)
        raise ImportError(f"pyseg's torch library needs torch >= 2.10, here is {torch.__version__}: {error}") from error
    _torch_reason = ""
    _cuda_reason = _load_cuda()
    import pyseg.ops._aspp_torch
    import pyseg.ops._atrous_torch
    import pyseg.ops._crf_autograd
    import pyseg.ops._deform_attention_autograd
    import pyseg.ops._depthwise_conv_autograd
    import pyseg.ops._detection_fakes
    import pyseg.ops._fakes
    import pyseg.ops._masked_attention_autograd
    import pyseg.ops._max_unpool_autograd
    import pyseg.ops._relpos_autograd
    import pyseg.ops._roi_align_autograd  # noqa: F401  (all register theirs)

    _torch_ops = torch.ops.pyseg
    return _torch_ops


def load_torch() -> bool:
    """:func:`torch_ops`'s loading alone, which torch.compile does not trace but does."""
    torch_ops()
    return True


load_torch._dynamo_marked_constant = True  # type: ignore[attr-defined]  # torch.compiler.assume_constant_result


def _load_cuda() -> str:
    """Loads the CUDA library beside a CUDA torch; the reason where it does not."""
    import torch

    path = _find("libpyseg_torch_cuda.so")
    if torch.version.cuda is None:
        return "this torch has no CUDA"
    if path is None:
        return "libpyseg_torch_cuda.so was not built"
    try:
        torch.ops.load_library(str(path))  # type: ignore[no-untyped-call]
    except OSError as error:
        return str(error)
    return ""


def set_num_threads(threads: int) -> None:
    """Sets how many threads work on NumPy arrays. Torch tensors follow ``torch.set_num_threads``.

    Raises:
        TypeError, ValueError: ``threads`` is not an integer from 1 to 1024.
    """
    native().set_num_threads(integer("set_num_threads", "threads", threads, 1, 1024))


def get_num_threads() -> int:
    """How many threads work on NumPy arrays: PYSEG_NUM_THREADS, or the processors that this process may use."""
    return int(native().get_num_threads())


def info() -> dict[str, Any]:
    """Versions, instruction set, threads, and which libraries are loaded or why not: plain values, for a bug report."""
    import numpy

    packages: dict[str, str | None] = {"numpy": numpy.__version__}
    for name in ("torch", "cupy", "scikit-image", "opencv-contrib-python-headless", "fast-slic"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = None
    if packages["torch"] is not None:
        with contextlib.suppress(ImportError):
            torch_ops()
    cuda_loaded = _torch_ops is not None and not _cuda_reason
    return {
        "pyseg": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "isa": native().isa() if _native else None,
        "widest_isa": native().widest_isa() if _native else None,
        "threads": get_num_threads() if _native else None,
        "packages": packages,
        "libraries": {
            "numpy": {"loaded": _native is not None, "reason": _native_reason or None},
            "torch": {
                "loaded": _torch_ops is not None,
                "reason": ("torch is not installed" if packages["torch"] is None else _torch_reason) or None,
            },
            "torch_cuda": {
                "loaded": cuda_loaded,
                "reason": ("torch is not installed" if packages["torch"] is None else _cuda_reason) or None,
            },
            "cupy": {
                "loaded": packages["cupy"] is not None and native_cuda() is not None,
                "reason": None if packages["cupy"] else "cupy is not installed",
            },
        },
    }
