"""The Markdown report of depthwise_conv's benchmark document: a table for each pass, dtype and number of threads."""

from __future__ import annotations

import statistics
from typing import Any

from environment import footnote
from report import busy, unique

__all__ = ["markdown"]

NAMES = {"forward": "Forward", "grad_input": "Gradient of the input", "grad_weight": "Gradient of the weight"}


def markdown(document: dict[str, Any]) -> str:
    """The whole report; all of it comes from the document."""
    rows = [benchmark["extra_info"] for benchmark in document["benchmarks"]]
    parts = [
        "# depthwise_conv",
        "Milliseconds of one pass over one image with padding that keeps its size; torch is `F.conv2d(groups=C)` and "
        "its backward (oneDNN). *Same format*: torch's time / ours in the same memory format, NCHW and channels_last. "
        "*Best format*: the better of torch's two / ours.",
        _goals(rows),
    ]
    for dtype, threads in unique((row["dtype"], row["threads"]) for row in rows):
        for what in NAMES:
            chosen = [r for r in rows if (r["pass"], r["dtype"], r["threads"]) == (what, dtype, threads)]
            if chosen:
                parts += [f"## {NAMES[what]}, {dtype}, threads: {threads}", _table(chosen)]
    notes = [
        "Interleaved in one process. 1 thread: CPU time, medians, ratios are medians over rounds; 2 threads: wall "
        "clock, minima, ratios of minima.",
        "Where torch is the faster one (`torch_is_faster`: bfloat16 at rates up to 6), `depthwise_conv2d` calls it, so "
        "that the same time stands on both sides.",
        "Results of many megabytes are fresh memory in every call; ours asks for huge pages for them.",
        *busy(rows),
        footnote(document["environment"]),
    ]
    return "\n\n".join([*parts, "## How to read this", "\n".join(f"- {note}" for note in notes)]) + "\n"


def _goals(rows: list[dict[str, Any]]) -> str:
    """Least and median ratios of float32 on 1 thread."""
    single = [r for r in rows if r["dtype"] == "float32" and r["threads"] == 1 and r["k"] == 3]
    wide = [r for r in single if int(r["shape"].split("x")[0]) >= 320]
    kinds = {
        "forward, rate >= 12, C >= 320, NCHW / best format": (
            [r["best"] for r in wide if r["pass"] == "forward" and r["rate"] >= 12]
        ),
        "forward, rate >= 12, C >= 320, channels_last / best format": (
            [r["best_last"] for r in wide if r["pass"] == "forward" and r["rate"] >= 12]
        ),
        "gradient of the input, rate >= 2, NCHW": (
            [r["same"] for r in single if r["pass"] == "grad_input" and r["rate"] >= 2]
        ),
        "gradient of the weight, rate >= 2, NCHW": (
            [r["same"] for r in single if r["pass"] == "grad_weight" and r["rate"] >= 2]
        ),
        "anything, same format": [v for r in rows for v in (r["same"], r["same_last"])],
    }
    lines = ["| torch's time / ours | least | median |", "|---|---:|---:|"]
    for name, values in kinds.items():
        if values:
            lines.append(f"| {name} | {min(values):.2f} | {statistics.median(values):.2f} |")
    return "\n".join(lines)


def _table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| C x H x W | kernel | rate | torch NCHW | torch channels_last | pyseg NCHW | pyseg channels_last | "
        "same format | best format |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for r in rows:
        times = [_ms(r[f"ms_{name}"]) for name in ("torch", "torch_last", "pyseg", "pyseg_last")]
        ratios = [f"{r['same']:.2f}, {r['same_last']:.2f}", f"{r['best']:.2f}, {r['best_last']:.2f}"]
        shape, kernel = r["shape"].replace("x", " x "), f"{r['k']} x {r['k']}"
        lines.append(f"| {' | '.join([shape, kernel, str(r['rate']), *times, *ratios])} |")
    return "\n".join(lines)


def _ms(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"
