"""The chart of a benchmark document: milliseconds per image, every implementation, on a logarithmic scale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from report import milliseconds, speed_rows

__all__ = ["draw"]

# Okabe and Ito's colours, told apart by all eyes.
COLOURS = {
    "pyseg": "#0072B2",
    "pyseg_avx2": "#56B4E9",
    "fast_slic": "#D55E00",
    "opencv_seeds": "#E69F00",
    "opencv_slic": "#CC79A7",
    "scikit_image": "#999999",
}


def draw(document: dict[str, Any], path: Path) -> None:
    """One panel for each number of threads, one group of bars for each size."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = [row for row in speed_rows(document) if row["kind"] == "uint8_rgb"]
    threads = list(dict.fromkeys(row["threads"] for row in rows))
    figure, panels = plt.subplots(1, len(threads), figsize=(6.2 * len(threads), 4.4), squeeze=False)
    for panel, count in zip(panels[0], threads, strict=True):
        _panel(panel, [row for row in rows if row["threads"] == count])
        panel.set_title(f"{count} thread{'s' if count > 1 else ''}", fontsize=11)
    panels[0][0].set_ylabel("ms per image (log scale, less is better)")
    bars = {bar.get_label(): bar for panel in panels[0] for bar in panel.containers}
    figure.legend(bars.values(), bars.keys(), loc="upper center", ncols=len(bars), frameon=False, fontsize=9)
    environment = document["environment"]
    foot = f"{environment['processor']}, commit {environment['commit']}, {environment['date']}"
    figure.text(0.5, 0.01, foot, ha="center", fontsize=7.5, color="#555555")
    figure.tight_layout(rect=(0, 0.025, 1, 0.94))
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def _panel(panel: Any, rows: list[dict[str, Any]]) -> None:
    sizes = list(dict.fromkeys(row["size"] for row in rows))
    names = [name for name in COLOURS if any(row["implementation"] == name for row in rows)]
    width = 0.86 / len(names)
    for i, name in enumerate(names):
        mine = [row for row in rows if row["implementation"] == name]
        left = [sizes.index(row["size"]) + (i - (len(names) - 1) / 2) * width for row in mine]
        bars = panel.bar(left, [row["ms"] for row in mine], width, color=COLOURS[name], label=mine[0]["title"])
        panel.bar_label(bars, [milliseconds(row["ms"]) for row in mine], fontsize=7, padding=2, rotation=90)
    panel.set_yscale("log")
    times = [row["ms"] for row in rows]
    panel.set_ylim(min(times) / 2, max(times) * 2.5)  # the lowest bar can be seen, the highest's label has room
    panel.set_xticks(range(len(sizes)), [size.replace("x", " x ") for size in sizes])
    panel.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
