"""The command line. Nothing here is imported by ``import pyseg``, and typer and rich only when a command runs."""

from __future__ import annotations

import signal
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line on ``sys.argv``; never returns.

    Exit code 0: done; 1: some files were bad; 2: a wrong argument; 130: Ctrl-C; 143: SIGTERM.
    """
    # As an exception it passes the blocks that remove unfinished files; the default action would not.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        from .app import app

        app(prog_name="pyseg")
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"typer", "rich", "PIL"}:
            raise
        sys.exit(f"pyseg: the command line needs typer, rich and pillow ({error}): pip install 'pyseg[cli]'")
