"""The Markdown report of deform_attention's benchmark document: speed and error in one table, memory below."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from deform_cases import CASES, MODES, memory
from environment import footnote
from implementations import ISA
from report import busy, milliseconds, ratio, speed_rows, unique

__all__ = ["extras", "markdown"]


def extras(quick: bool) -> dict[str, Any]:
    """What the document has besides speed."""
    return {"memory": {} if quick else memory(ISA), "torch": version("torch")}


def markdown(document: dict[str, Any]) -> str:
    """The whole report; all of it comes from the document."""
    rows = speed_rows(document)
    parts = [
        "# deform_attention",
        "Milliseconds of multi-scale deformable attention, 8 heads of 32 channels, 4 points a level, one image; how "
        "many times that is in grid_sample's time; and the largest error, of gradients too, relative to the largest "
        "value.",
        _table(rows),
    ]
    if document.get("memory"):
        parts += ["## Memory", _memory(document["memory"])]
    notes = [
        "Interleaved in one process. 1 thread: CPU time, medians, ratio = median over rounds; 2 threads: wall clock, "
        "minima, ratio of minima. Two inputs in rotation, fresh results.",
        "grid_sample: ms_deform_attn_core_pytorch of the official repositories, which transformers has as well, in "
        f"torch {document['torch']}. The layer adds four projections, softmax and locations.",
        "bfloat16: value, and in the layer all but the reference points; sums in float32. Its error is that of "
        "rounding inputs and results.",
        *busy(rows),
        footnote(document["environment"]),
    ]
    return "\n\n".join([*parts, "## How to read this", "\n".join(f"- {note}" for note in notes)]) + "\n"


def _table(rows: list[dict[str, Any]]) -> str:
    lines = ["| | threads | ms | grid_sample's time / this | error |", "|---|---:|---:|---:|---:|"]
    for title in (case.title for case in CASES.values()):
        for mode in unique(row["mode"] for row in rows):
            group = [row for row in rows if (row["case"], row["mode"]) == (title, mode)]
            if group:
                lines.append(f"| *{title}: {MODES[mode]}* | | | | |")
            for row in sorted(group, key=lambda row: row["threads"]):
                cells = [row["title"], str(row["threads"]), milliseconds(row["ms"]), ratio(row["ratio"])]
                lines.append(f"| {' | '.join([*cells, format(row['error'], '.0e')])} |")
    return "\n".join(lines)


def _memory(found: dict[str, dict[str, float]]) -> str:
    lines = [
        "MiB by which the first call at 1024 x 2048 raises the peak of a process, results included; the values are 42.",
        "",
        "| | pyseg | grid_sample | ratio |",
        "|---|---:|---:|---:|",
    ]
    for mode, row in found.items():
        mine, theirs = row["pyseg"], row["grid_sample"]
        lines.append(f"| {MODES[mode]} | {mine:.0f} | {theirs:.0f} | {ratio(theirs / mine)} |")
    return "\n".join(lines)
