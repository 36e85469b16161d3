"""The Markdown report of an op on tensors: a line for each shape and pass, a column for each implementation."""

from __future__ import annotations

from typing import Any

from environment import footnote
from report import busy, milliseconds, ratio, speed_rows, unique

__all__ = ["markdown"]


def markdown(document: dict[str, Any]) -> str:
    """The whole report; all of it comes from the document."""
    rows = speed_rows(document)
    op = document["benchmarks"][0]["fullname"].partition("test_")[2].partition(".py")[0]
    parts = [f"# {op}", "Milliseconds; in bold, how many times that is in the time of torch's fastest."]
    for threads in unique(row["threads"] for row in rows):
        plural = "s" if threads > 1 else ""
        parts += [f"## {threads} thread{plural}", _table([row for row in rows if row["threads"] == threads])]
    parts += ["## Errors", "The largest, against float64, in parts of the largest value.", _errors(rows)]
    notes = [
        "Interleaved in one process. 1 thread: CPU time, medians, ratio = median over rounds; 2 threads: wall clock, "
        "minima, ratio of minima. Results are fresh tensors each time.",
        *(["Our weights are packed before, and their hash is compared in each call."] if op == "atrous_conv" else []),
        *busy(rows),
        footnote(document["environment"]),
    ]
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in notes)]) + "\n"


def _names(rows: list[dict[str, Any]]) -> dict[str, str]:
    return {row["implementation"]: row["title"] for row in rows}


def _by_group(rows: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, dict[str, Any]]]:
    groups: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["kind"], row["shape"]), {})[row["implementation"]] = row
    return groups


def _table(rows: list[dict[str, Any]]) -> str:
    names = _names(rows)
    lines = [f"| | {' | '.join(names.values())} |", f"|---|{'---:|' * len(names)}"]
    kind = None
    for (of, shape), group in sorted(_by_group(rows).items(), key=lambda item: _order(rows, *item[0])):
        if of != kind:
            kind = of
            lines.append(f"| *{kind}* |{' |' * len(names)}")
        cells = []
        for name in names:
            row = group.get(name)
            bold = f" {ratio(row['ratio_to_best'])}" if row and "ratio_to_best" in row else ""
            cells.append(milliseconds(row["ms"]) + bold if row else "")
        lines.append(f"| {shape} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _order(rows: list[dict[str, Any]], kind: str, shape: str) -> tuple[int, int]:
    return unique(row["kind"] for row in rows).index(kind), unique(row["shape"] for row in rows).index(shape)


def _errors(rows: list[dict[str, Any]]) -> str:
    names = _names(rows)
    lines = [f"| | {' | '.join(names.values())} |", f"|---|{'---:|' * len(names)}"]
    for kind in unique(row["kind"] for row in rows):
        cells = []
        for name in names:
            found = [row["error"] for row in rows if row["kind"] == kind and row["implementation"] == name]
            cells.append(f"{max(found):.0e}" if found else "")
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)
