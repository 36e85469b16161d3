"""The report of relpos_attention: the table of times, and the memory that a pass takes beside its inputs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import layer_report

__all__ = ["extras", "markdown"]

_MEMORY = """
import resource, sys
import torch
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/ops"]
import test_relpos_attention as bench

torch.set_num_threads(1)
name, kind, shape = sys.argv[2:]
small = bench.calls((1, 2, 64, 4, 4), kind)[name]
small(None)
inputs = bench.tensors(bench.SHAPES[shape])
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
if kind == "forward":
    bench.calls(bench.SHAPES[shape], kind)[name](None)
else:
    bench.both_passes(name, bench.SHAPES[shape])
print((peak() - before) * 1024)
"""


def extras(quick: bool) -> dict[str, Any]:
    """Bytes above the inputs, of a process of its own each."""
    here = Path(__file__).resolve().parent
    sys.path.insert(0, str(here / "ops"))
    import test_relpos_attention as bench

    rows = []
    for shape in list(bench.SHAPES)[: 1 if quick else None]:
        for kind in ("forward", "forward and backward"):
            row: dict[str, Any] = {"shape": shape, "kind": kind}
            for name in ("eager", "sdpa", "pyseg"):
                command = [sys.executable, "-c", _MEMORY, str(here), name, kind, shape]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                row[name] = int(done.stdout)
            rows.append(row)
    return {"memory": rows}


def markdown(document: dict[str, Any]) -> str:
    """The whole report; all of it comes from the document."""
    text = layer_report.markdown(
        document,
        "torch's scaled_dot_product_attention with the dense bias",
        "torch's bias is made in the call, and all start from a packed projection [B, H W, 3, heads, d]. backward: of "
        "all inputs, from a graph that is kept.",
    )
    lines = ["## Memory", "Peak beyond the inputs, results included, MB; 1 thread.", ""]
    lines += ["| | eager | SDPA | pyseg | SDPA / pyseg |", "|---|---:|---:|---:|---:|"]
    for row in document.get("memory", []):
        cells = " | ".join(f"{row[name] / 2**20:.0f}" for name in ("eager", "sdpa", "pyseg"))
        lines.append(f"| {row['shape']}, {row['kind']} | {cells} | {row['sdpa'] / row['pyseg']:.0f} |")
    before, mark, rest = text.partition("## Errors")
    return before + "\n".join([*lines, "", ""]) + mark + rest
