"""The Markdown reports of roi_align, nms and paste_masks: a line an implementation and case."""

from __future__ import annotations

from typing import Any

from environment import footnote
from report import busy, milliseconds, ratio, speed_rows, unique

__all__ = ["markdown"]

ABOUT = {
    "roi_align": "Milliseconds a call on one float32 map of 256 channels, two samples a bin and axis, aligned; boxes "
    "of 5 to 40 % of the map's sides. Results and gradients equal torchvision's bit for bit.",
    "nms": "Milliseconds a call on float32 boxes in an image of 1200 x 800, with sides of 2 to 30 % of it, IoU "
    "threshold 0.5; batched_nms with 80 classes. The indices equal torchvision's.",
    "paste_masks": "Milliseconds for 100 masks of 28 x 28 in images of 800 x 1200, to bool; boxes of 5 to 40 % of the "
    "image's sides. Values equal the peers' to 2e-5.",
}


def markdown(document: dict[str, Any]) -> str:
    """The whole report; all of it comes from the document."""
    op = document["benchmarks"][0]["group"].partition(",")[0]
    rows = speed_rows(document)
    peers = unique(peer for row in rows for peer in row["ratios"])
    titles = {row["implementation"]: row["title"] for row in rows}
    absent = [] if "torchvision" in titles else ["torchvision did not load beside this torch."]
    notes = [
        "Interleaved in one process. 1 thread: CPU time, medians, ratio = median over rounds; 2 threads: wall clock, "
        "minima, ratio of minima. Each call allocates its result. torchvision's kernels have one thread.",
        *absent,
        *busy(rows),
        footnote(document["environment"]),
    ]
    heads = " | ".join(f"{titles[peer]}: its time / this" for peer in peers)
    lines = [f"| | threads | ms | {heads} |", f"|---|---:|---:|{'---:|' * len(peers)}"]
    for case in unique(row["case"] for row in rows):
        lines.append(f"| *{case}* | | | {' | '.join('' for _ in peers)} |")
        for row in (row for row in rows if row["case"] == case):
            cells = [row["title"], str(row["threads"]), milliseconds(row["ms"])]
            lines.append(f"| {' | '.join([*cells, *(ratio(row['ratios'].get(peer)) for peer in peers)])} |")
    return "\n\n".join([f"# {op}", ABOUT[op], "\n".join(lines), "\n".join(f"- {note}" for note in notes)]) + "\n"
