"""The Markdown report of max_unpool's benchmark document: a line a stage and step, torch's time beside ours."""

from __future__ import annotations

from typing import Any

from environment import footnote
from report import busy, milliseconds, ratio, speed_rows, unique

__all__ = ["markdown"]

OURS = ("pyseg", "pyseg_int64", "pyseg_avx2")


def markdown(document: dict[str, Any]) -> str:
    """The whole report; all of it comes from the document."""
    rows = speed_rows(document)
    parts = [
        "# max_unpool",
        "2x2 windows with stride 2, float32, at SegNet's stages: milliseconds, and torch's time / ours. "
        "Indices are one byte each unless it says int64, which are torch's own: eight times the memory.",
    ]
    for threads in unique(row["threads"] for row in rows):
        parts += [f"## {threads} thread{'s' if threads > 1 else ''}", _table(rows, threads)]
    notes = [
        "Interleaved in one process. 1 thread: CPU time, medians, ratio = median over rounds; more: wall clock, "
        "minima, ratio of minima.",
        "Results are fresh in every call, for torch and for us, except for 'unpool into out', where ours is written "
        "over; torch has no out there. Ours asks for large pages where it is fresh and over 4 MB.",
        "The gradient of unpool is a gather, by torch's derivative formula as well.",
        *busy(rows),
        footnote(document["environment"]),
    ]
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in notes)]) + "\n"


def _table(rows: list[dict[str, Any]], threads: int) -> str:
    lines = [
        "| | layout | torch ms | pyseg ms | | int64 indices ms | | AVX2 ms | |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    chosen = [row for row in rows if row["threads"] == threads]
    for step in unique(row["step"] for row in chosen):
        lines.append(f"| *{step}* | | | | | | | | |")
        of_step = [row for row in chosen if row["step"] == step]
        for stage, layout in unique((row["stage"], row["layout"]) for row in of_step):
            found = {r["implementation"]: r for r in of_step if (r["stage"], r["layout"]) == (stage, layout)}
            cells = [f"{found['torch']['shape']}, {stage}", layout, milliseconds(found["torch"]["ms"])]
            for name in OURS:
                row = found.get(name)
                cells += [milliseconds(row["ms"]), ratio(row["ratio"])] if row else ["", ""]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
