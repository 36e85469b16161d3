"""``pyseg info``: what is installed, what was loaded, and why the rest was not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer

__all__ = ["info"]


def info(as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False) -> None:
    """Show versions, instruction set, threads and which libraries were loaded, or why not.

    [bold]Examples[/bold]

    pyseg info
    pyseg info --json > pyseg-info.json
    """
    import pyseg

    known = pyseg.info()
    if as_json:
        print(json.dumps(known, indent=2))
        return
    lines = list(_lines(known))
    wide = max((len(name) for name, value in lines if value is not None), default=0)
    for name, value in lines:
        print(name if value is None else f"{name:<{wide}}  {value}")


def _lines(known: dict[str, Any], depth: int = 0) -> Iterator[tuple[str, str | None]]:
    """(indented name, value); the value of a heading is None."""
    for name, value in known.items():
        label = "  " * depth + str(name)
        if isinstance(value, dict) and value:
            yield label, None
            yield from _lines(value, depth + 1)
        else:
            yield label, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value in ({}, []):
        return "-"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return str(value)
