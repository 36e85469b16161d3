"""The Markdown report of a benchmark document (``slic.json``): one table of speed and quality, details below."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from environment import footnote
from implementations import COMPACTNESS, ITERATIONS, OURS, PIXELS_PER_SEGMENT, TITLES
from photographs import SOURCE
from quality import MEASURES, measure
from quality import markdown as quality_table
from timing import load_note

__all__ = ["busy", "draw", "extras", "markdown", "milliseconds", "ratio", "speed_rows", "unique"]

KINDS = {
    "float32_rgb": "float32 RGB",
    "grey": "grey, uint8",
    "five_channels": "5 channels, float32",
    "mask": "RGB within a mask",
    "volume": "volume, float32",
}
QUALITY_K = 400


def extras(quick: bool) -> dict[str, Any]:
    """What the document has besides speed: quality."""
    rows, note = measure((400,), images=4) if quick else measure()
    return {"quality": rows, "quality_note": note}


def draw(document: dict[str, Any], path: Path) -> None:
    """The chart; ImportError without matplotlib."""
    importlib.import_module("chart").draw(document, path)


def markdown(document: dict[str, Any]) -> str:
    """The whole report; all of it comes from the document."""
    speed, quality = speed_rows(document), document["quality"]
    shown = QUALITY_K if any(row["segments"] == QUALITY_K for row in quality) else None
    parts = ["# slic", f"{_caption(quality, shown)}", _main_table(speed, quality, shown)]
    if quality:
        parts += ["## Quality", f"Means over {quality[0]['images']} images.", quality_table(quality)]
    if general := _general_table(speed):
        parts += ["## Other inputs, 1 thread", general]
    parts += ["## How to read this", _notes(document, speed)]
    return "\n\n".join(parts) + "\n"


def speed_rows(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The facts of pytest-benchmark's rows that are slic's."""
    rows = (benchmark["extra_info"] for benchmark in document["benchmarks"])
    return [row for row in rows if "implementation" in row]


def milliseconds(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _caption(quality: list[dict[str, Any]], shown: int | None) -> str:
    text = (
        f"Milliseconds per image (uint8 RGB; K = pixels / {PIXELS_PER_SEGMENT}, compactness {COMPACTNESS:g}, "
        f"{ITERATIONS} iterations; conversion to CIELAB and connectivity included)"
    )
    if quality and shown:
        text += f", and quality at K = {shown} against human segmentations (UE: less is better; the others: more)"
    return text + "."


def _main_table(speed: list[dict[str, Any]], quality: list[dict[str, Any]], shown: int | None) -> str:
    rows = [row for row in speed if row["kind"] == "uint8_rgb"]
    sizes = unique(row["size"] for row in rows)
    measured = {row["implementation"]: row for row in quality if row["segments"] == shown}
    heads = [*(size.replace("x", " x ") for size in sizes), *(MEASURES.values() if measured else ())]
    lines = [f"| | threads | {' | '.join(heads)} |", f"|---|---:|{'---:|' * len(heads)}"]
    counts = unique(row["threads"] for row in rows)
    for threads in counts:
        cells = {(row["implementation"], row["size"]): row for row in rows if row["threads"] == threads}
        present = unique(name for name, _ in cells)
        for name in present:
            times = [milliseconds(cells[name, size]["ms"]) if (name, size) in cells else "> 2 s" for size in sizes]
            # Quality stands once: labels do not depend on threads.
            values = measured.get("pyseg" if name in OURS else name, {}) if threads == counts[0] else {}
            scores = [f"{values[key]:.4f}" if values else "" for key in MEASURES] if measured else []
            lines.append(f"| {_title(cells, name)} | {threads} | {' | '.join([*times, *scores])} |")
        for name in (name for name in OURS if name in present):
            ratios = [ratio(cells.get((name, size), {}).get("ratio_to_best_peer")) for size in sizes]
            blank = [""] * (len(MEASURES) if measured else 0)
            label = f"*best peer's time / {_title(cells, name)}*"
            lines.append(f"| {label} | {threads} | {' | '.join([*ratios, *blank])} |")
    return "\n".join(lines)


def _general_table(speed: list[dict[str, Any]]) -> str:
    lines = ["| | size | K | pyseg ms | scikit-image ms | ratio |", "|---|---|---:|---:|---:|---:|"]
    rows = [row for row in speed if row["kind"] in KINDS]
    for kind in unique(row["kind"] for row in rows):
        found = {row["implementation"]: row for row in rows if row["kind"] == kind}
        ours, theirs = found.get("pyseg"), found.get("scikit_image")
        if ours is None:
            continue
        cells = [KINDS[kind], ours["size"].replace("x", " x "), str(ours["segments"]), milliseconds(ours["ms"])]
        cells += [milliseconds(theirs["ms"]) if theirs else "", ratio(ours["ratio_to_best_peer"])]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def _notes(document: dict[str, Any], speed: list[dict[str, Any]]) -> str:
    counts = ", ".join(
        f"{row['title']} {row['superpixels']} of {row['segments']}"
        for row in speed
        if row["kind"] == "uint8_rgb" and row["size"] == speed[0]["size"] and row["threads"] == speed[0]["threads"]
    )
    absent = [title for name, title in TITLES.items() if not any(row["implementation"] == name for row in speed)]
    notes = [
        "Interleaved in one process. 1 thread: CPU time of the process, medians, ratio = median over rounds; more: "
        'wall clock, minima, ratio of minima. SEEDS and scikit-image have no threads. "> 2 s" was not measured.',
        f"Photographs: {SOURCE}. Superpixels delivered, {speed[0]['size']}: {counts}.",
        *([f"Not installed, or not for this processor: {', '.join(absent)}."] if absent else []),
        *([document["quality_note"] + "."] if document.get("quality_note") else []),
        *busy(speed),
        footnote(document["environment"]),
    ]
    return "\n".join(f"- {note}" for note in notes)


def busy(speed: list[dict[str, Any]]) -> list[str]:
    note = load_note(max((row["load"] for row in speed if row["threads"] > 1), default=0.0))
    return [f"**{note[0].upper()}{note[1:]}: times of more than 1 thread do not count.**"] if note else []


def _title(cells: dict[tuple[str, str], dict[str, Any]], name: str) -> str:
    return next(row["title"] for (found, _), row in cells.items() if found == name)


def ratio(value: float | None) -> str:
    return "" if value is None else f"**{value:.0f}x**" if value >= 20 else f"**{value:.1f}x**"


def unique(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))
