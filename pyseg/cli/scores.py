"""The figures of ``pyseg compare``: measured, in a table, in a few words, as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .methods import Method, Prepared, count

__all__ = ["Row", "measure", "table", "words", "write_json"]

RADIUS = 2  # of boundary recall, in pixels
# Short name and field, in the order of the table; the last three need a ground truth.
MEASURES = {
    "EV": "explained_variation",
    "CO": "compactness",
    "UE": "undersegmentation_error",
    f"BR {RADIUS}px": "boundary_recall",
    "ASA": "achievable_segmentation_accuracy",
}


@dataclass(frozen=True)
class Row:
    """A method's figures. The last three are None without a ground truth."""

    name: str
    superpixels: int
    median_ms: float
    parameters: dict[str, float]
    search_calls: int
    explained_variation: float
    compactness: float
    undersegmentation_error: float | None = None
    boundary_recall: float | None = None
    achievable_segmentation_accuracy: float | None = None

    def measures(self) -> dict[str, float]:
        """By short names, those that there are."""
        values = {short: getattr(self, name) for short, name in MEASURES.items()}
        return {short: value for short, value in values.items() if value is not None}


def measure(
    method: Method,
    prepared: Prepared,
    labels: NDArray[np.int32],
    seconds: float,
    image: NDArray[np.uint8],
    truth: NDArray[np.int32] | None,
) -> Row:
    """The row of a method.

    Args:
        labels: what it gave.
        seconds: the median of its times.
        image: uint8 [H, W, 3].
        truth: [A, H, W] or None.
    """
    from pyseg import metrics

    human: dict[str, float] = {}
    if truth is not None:
        human = {
            "undersegmentation_error": metrics.undersegmentation_error(labels, truth),
            "boundary_recall": metrics.boundary_recall(labels, truth, radius=RADIUS),
            "achievable_segmentation_accuracy": metrics.achievable_segmentation_accuracy(labels, truth),
        }
    return Row(
        name=method.value,
        superpixels=count(labels),
        median_ms=1e3 * seconds,
        parameters=prepared.parameters,
        search_calls=prepared.calls,
        explained_variation=metrics.explained_variation(labels, image),
        compactness=metrics.compactness(labels),
        **human,
    )


def words(row: Row) -> list[str]:
    """Two lines for a panel."""
    quality = [f"{short} {value:.3f}" for short, value in row.measures().items()]
    return [f"{row.superpixels} superpixels    {row.median_ms:.1f} ms    {_parameters(row)}", "    ".join(quality)]


def table(rows: Sequence[Row]) -> str:
    """For a terminal. There is at least one row, and all have the same measures."""
    from rich.console import Console
    from rich.table import Table

    grid = Table()
    grid.add_column("")
    heads = ["superpixels", "median ms", *rows[0].measures()]
    for head in heads:
        grid.add_column(head, justify="right")
    grid.add_column("parameters")
    for row in rows:
        parameters = _parameters(row)
        if row.search_calls:
            parameters += f" (found in {row.search_calls} calls)"
        quality = [f"{value:.3f}" for value in row.measures().values()]
        grid.add_row(row.name, str(row.superpixels), f"{row.median_ms:.2f}", *quality, parameters)
    console = Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else 160)
    with console.capture() as captured:
        console.print(grid)
    return captured.get().rstrip("\n")


def _parameters(row: Row) -> str:
    return ", ".join(f"{name}={value:g}" for name, value in row.parameters.items())


def write_json(path: Path, rows: Sequence[Row], **known: Any) -> None:
    """One object: ``known``, and the rows."""
    from ..images import atomic_write

    with atomic_write(path, "w") as file:
        json.dump({**known, "boundary_recall_radius": RADIUS, "rows": [asdict(row) for row in rows]}, file, indent=2)
