"""The Markdown reports of felzenszwalb, quickshift and turbopixels: a line an implementation and group."""

from __future__ import annotations

from typing import Any

from environment import footnote
from report import busy, milliseconds, ratio, speed_rows

__all__ = ["markdown"]


def markdown(document: dict[str, Any]) -> str:
    """The whole report; all of it comes from the document."""
    op = document["benchmarks"][0]["group"].split()[0]
    rows = speed_rows(document)
    timed = [row for row in rows if "threads" in row]
    parts = [f"# {op}", "Milliseconds per 8-bit RGB photograph, everything included.", _table(document)]
    if any("threads" not in row for row in rows):
        parts += ["## Quality", "Means over the images with human segmentations.", _quality(document)]
    notes = [
        "Interleaved in one process. 1 thread: CPU time, medians, ratio = median over rounds; 2 threads: wall clock, "
        "minima, ratio of minima. scikit-image has one thread; beside 2 of ours it is timed by the wall clock too.",
        *busy(timed),
        footnote(document["environment"]),
    ]
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in notes)]) + "\n"


def _table(document: dict[str, Any]) -> str:
    lines = ["| | ms | scikit-image's time / this | superpixels |", "|---|---:|---:|---:|"]
    group = None
    order = list(dict.fromkeys(benchmark["group"] for benchmark in document["benchmarks"]))
    for benchmark in sorted(document["benchmarks"], key=lambda benchmark: order.index(benchmark["group"])):
        row = benchmark["extra_info"]
        if "threads" not in row:
            continue
        if benchmark["group"] != group:
            group = benchmark["group"]
            lines.append(f"| *{group}* | | | |")
        name = row["implementation"]
        times = row.get("ratio_to_scikit_image") or row.get("ratios", {}).get("scikit_image")
        cell = ratio(times) if times and name != "scikit_image" else ""
        lines.append(
            f"| {row.get('title', name)} | {milliseconds(row['ms'])} | {cell} | {row.get('superpixels', '')} |"
        )
    return "\n".join(lines)


def _quality(document: dict[str, Any]) -> str:
    rows = [(b["group"], b["extra_info"]) for b in document["benchmarks"] if "threads" not in b["extra_info"]]
    keys = [key for key, value in rows[0][1].items() if isinstance(value, float)]
    lines = [f"| | | {' | '.join(keys)} |", f"|---|---|{'---:|' * len(keys)}"]
    for group, row in rows:
        cells = [f"{row[key]:.4f}" for key in keys]
        lines.append(f"| {group.partition(', ')[2]} | {row['implementation']} | {' | '.join(cells)} |")
    return "\n".join(lines)
