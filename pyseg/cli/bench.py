"""``pyseg bench``: the benchmark suite in a source tree, a short comparison with the peers elsewhere."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from . import options
from .errors import Refused, at_least
from .peers import Comparison, compare_slic

__all__ = ["bench"]


class Op(str, Enum):
    """What can be measured."""

    SLIC = "slic"


def bench(
    op: Annotated[Op, typer.Argument(help="What to measure.", show_default=False)],
    quick: Annotated[bool, typer.Option("--quick", help="The short comparison, with few rounds.")] = False,
    image: Annotated[
        Path | None,
        typer.Option("--image", metavar="FILE", show_default=False, help="The short comparison, on this picture."),
    ] = None,
    segments: Annotated[int, typer.Option("--segments", "-k", metavar="K", help="Of the short comparison.")] = 300,
    threads: options.Threads = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", show_default=False, help="Write the figures there too.")
    ] = None,
) -> None:
    """Time an operation beside every other implementation that is installed.

    In a source tree this runs the benchmark suite, benchmarks/ops/test_OP.py,
    by pytest-benchmark. Elsewhere, or with --quick or --image, it runs a short
    comparison: one call of each in turn, round after round, so that a machine
    that slows down slows all; medians, bests, and the ratio to pyseg.

    [bold]Examples[/bold]

    pyseg bench slic
    pyseg bench slic --quick --threads 1
    pyseg bench slic --image photo.jpg --segments 1000 --json slic.json
    """
    at_least("--segments", segments, 1)
    at_least("--threads", threads, 1)
    if not quick and image is None:
        suite = _suite(op)
        if isinstance(suite, Path):
            raise typer.Exit(_run_suite(suite, threads, json_file))
        print(f"{suite}; this is the short comparison", file=sys.stderr)
    result = compare_slic(image, segments=segments, threads=threads, rounds=5 if quick else 15)
    if json_file is not None:
        _write_json(json_file, result)
    _show(result)


def _suite(op: Op) -> Path | str:
    """The suite's file, or why it cannot be run."""
    import pyseg

    root = Path(pyseg.__file__).resolve().parent.parent
    suite = root / "benchmarks" / "ops" / f"test_{op.value}.py"
    if not suite.is_file():
        return "the full suite is in pyseg's source tree, not in the installed package: check it out, then `make bench`"
    missing = [name for name in ("pytest", "pytest_benchmark") if importlib.util.find_spec(name) is None]
    if missing:
        return f"the full suite needs {' and '.join(missing).replace('_', '-')}: pip install pytest pytest-benchmark"
    return suite


def _run_suite(suite: Path, threads: int | None, json_file: Path | None) -> int:
    command = [sys.executable, "-m", "pytest", "--benchmark-only", str(suite)]
    if json_file is not None:
        command.append(f"--benchmark-json={json_file.resolve()}")
    environment = dict(os.environ)
    if threads is not None:
        environment["PYSEG_NUM_THREADS"] = str(threads)
    return subprocess.run(command, cwd=suite.parents[2], env=environment, check=False).returncode


def _write_json(path: Path, result: Comparison) -> None:
    from dataclasses import asdict

    from ..images import atomic_write

    try:
        with atomic_write(path, "w") as file:
            json.dump(asdict(result), file, indent=2)
    except OSError as error:
        raise Refused(f"--json cannot be written: {error}") from None


def _show(result: Comparison) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(markup=False, highlight=False)
    console.print(f"SLIC, {result.picture}, {result.width} x {result.height}, {result.segments} superpixels asked for")
    table = Table()
    table.add_column("")
    for heading in ("superpixels", "median ms", "best ms", "ratio"):
        table.add_column(heading, justify="right")
    for row in result.rows:
        table.add_row(row.name, str(row.superpixels), f"{row.median_ms:.2f}", f"{row.best_ms:.2f}", f"{row.ratio:.2f}")
    console.print(table)
    console.print(result.footnote())
