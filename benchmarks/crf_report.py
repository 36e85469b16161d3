"""The Markdown report of dense_crf's benchmark document: speed and error in one table, accuracy and memory below."""

from __future__ import annotations

from typing import Any

from crf_accuracy import accuracy, memory
from environment import footnote
from report import busy, milliseconds, ratio, speed_rows, unique

__all__ = ["extras", "markdown"]

PEER = "pydensecrf"


def extras(quick: bool) -> dict[str, Any]:
    """What the document has besides speed."""
    return {"accuracy": accuracy(), "memory": {} if quick else memory()}


def markdown(document: dict[str, Any]) -> str:
    """The whole report; all of it comes from the document."""
    rows = speed_rows(document)
    parts = [
        "# dense_crf",
        "Milliseconds from an image and its energies to probabilities: both lattices, normalisation, 10 iterations; "
        "how many times that is in pydensecrf's time (it has one thread); and the difference from its result.",
        _table(rows),
    ]
    if document.get("accuracy"):
        parts += [
            "## Against the exact Gaussian",
            "Relative RMS error of one filter on 64 x 64 pixels against sums over all pairs in float64. The lattice "
            "is the same in both libraries; unnormalised, its mass is off by 12 % in 2-D and by 45 % in 5-D.",
            _accuracy(document["accuracy"]),
        ]
    if sizes := document.get("memory"):
        text = ", ".join(f"{name} {value:.0f} MiB" for name, value in sizes.items())
        parts += [
            "## Memory",
            f"Growth of the process's peak in the first call at 2048 x 1024 x 19, result included: {text}.",
        ]
    parts += ["## How to read this", _notes(document, rows)]
    return "\n\n".join(parts) + "\n"


def _table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| | threads | ms | pydensecrf's time / this | labels that agree | largest \\|dQ\\| | mean \\|dQ\\| |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for case in unique(row["case"] for row in rows):
        lines.append(f"| *{case}* | | | | | | |")
        for row in (row for row in rows if row["case"] == case):
            error = ["", "", ""]
            if "label_agreement" in row and row["implementation"] != PEER:
                error = [
                    f"{row['label_agreement']:.6f}",
                    f"{row['max_difference']:.0e}",
                    f"{row['mean_difference']:.0e}",
                ]
            cells = [row["title"], str(row["threads"]), milliseconds(row["ms"]), ratio(row["ratio"]), *error]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _accuracy(rows: list[dict[str, Any]]) -> str:
    lines = ["| kernel | normalization | pyseg | pydensecrf |", "|---|---|---:|---:|"]
    for row in rows:
        theirs = f"{row['pydensecrf']:.5f}" if "pydensecrf" in row else ""
        lines.append(f"| {row['kernel']} | {row['normalization']} | {row['pyseg']:.5f} | {theirs} |")
    return "\n".join(lines)


def _notes(document: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    absent = [] if any(row["implementation"] == PEER for row in rows) else ["pydensecrf2 was not installed."]
    notes = [
        "Interleaved in one process. 1 thread: CPU time, medians, ratio = median over rounds; 2 threads: "
        "wall clock, minima, ratio of minima. Photographs in rotation, fresh results.",
        "The lattice of positions depends on the image's size alone and is kept from call to call; 'spatial lattice "
        "anew' builds it in every call.",
        "pydensecrf is PyPI's pydensecrf2, the same source. MONAI's filter needs an extension that its wheel has not.",
        *absent,
        *busy(rows),
        footnote(document["environment"]),
    ]
    return "\n".join(f"- {note}" for note in notes)
