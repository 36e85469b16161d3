"""Options that every command over files shares, under one spelling and one help text."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Manifest", "OnError", "OnErrorOption", "Quiet", "Recursive", "Resume", "Sources", "Threads"]


class OnError(str, Enum):
    """What a bad file does to the run."""

    SKIP = "skip"
    STOP = "stop"


PANEL = "Run"

Sources = Annotated[
    list[str], typer.Argument(metavar="SOURCE...", show_default=False, help="Files, folders or quoted globs.")
]
Threads = Annotated[
    int | None, typer.Option("--threads", metavar="N", show_default="all cores", help="Threads of the computation.")
]
Recursive = Annotated[
    bool, typer.Option("--recursive", "-r", rich_help_panel=PANEL, help="Search folders to the bottom.")
]
Resume = Annotated[
    bool, typer.Option("--resume", rich_help_panel=PANEL, help="Skip sources whose outputs are there and whole.")
]
OnErrorOption = Annotated[
    OnError,
    typer.Option("--on-error", rich_help_panel=PANEL, help="At a bad file: go on and list it at the end, or stop."),
]
Manifest = Annotated[
    Path | None,
    typer.Option(
        "--manifest",
        metavar="FILE",
        rich_help_panel=PANEL,
        show_default=False,
        help="A JSON line per source: source, outputs, seconds, n, error, skipped.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", rich_help_panel=PANEL, help="Print errors alone.")]
