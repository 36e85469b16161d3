"""The machine and the versions that a figure belongs to."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "describe", "footnote", "processor", "shared_folder"]

ROOT = Path(__file__).resolve().parent.parent
_LIBRARIES = (
    "pyseg",
    "fast-slic",
    "pydensecrf2",
    "opencv-contrib-python-headless",
    "opencv-contrib-python",
    "scikit-image",
    "numpy",
    "torch",
)


def describe() -> dict[str, Any]:
    """Processor, versions, commit, date: plain values, for the JSON."""
    import pyseg

    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "isa": pyseg.info()["isa"],
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version(), **_versions()},
        "commit": _commit(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def footnote(environment: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    return (
        f"{environment['processor']}, {environment['cores']} cores, instruction set {environment['isa']}, "
        f"{environment['system']}; {versions}; commit {environment['commit']}, {environment['date']}."
    )


def processor() -> str:
    """The vendor's name; virtual machines hide the model, so family and number are added."""
    facts: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            facts.setdefault(key.strip(), value.strip())
    except OSError:
        return platform.processor() or platform.machine()
    name = facts.get("model name") or platform.machine()
    return f"{name} (family {facts['cpu family']}, model {facts['model']})" if "cpu family" in facts else name


def shared_folder() -> Path | None:
    """Where tools and data lie that are no part of the project: PYSEG_SHARED, or ``shared`` beside the repository."""
    folder = Path(os.environ.get("PYSEG_SHARED") or ROOT.parent / "shared")
    return folder if folder.is_dir() else None


def _versions() -> dict[str, str]:
    versions = {}
    for name in _LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _commit() -> str:
    try:
        commit = _git("rev-parse", "--short=10", "HEAD")
        changed = _git("status", "--porcelain", "--", ".", ":!benchmarks/results")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit} with changes" if changed else commit


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ).stdout.strip()
