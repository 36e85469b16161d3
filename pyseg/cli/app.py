"""The typer application: which commands there are, and how an error is shown."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .bench import bench
from .crf import crf
from .cut import cut
from .errors import Refused
from .info import info
from .side_by_side import compare
from .superpixels import superpixels


class _Group(TyperGroup):
    """Errors of the user in one line and without a traceback; errors of ours with one."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            code = super().main(*args, **{**kwargs, "standalone_mode": False})
        except Refused as error:
            code = _complain(str(error), 2)
        except typer.Abort:
            code = 130
        except Exception as error:
            # typer's own complaints; their class has moved between versions, their two attributes have not.
            if not hasattr(error, "format_message"):
                raise
            code = _complain(_with_value(error), getattr(error, "exit_code", 2))
        sys.exit(code if isinstance(code, int) else 0)


def _with_value(error: Any) -> str:
    """typer's message, and the value that it is about where typer leaves that out ("must be a valid integer")."""
    message = str(error.format_message()).replace("Value error, ", "")
    problems = getattr(error.__cause__, "errors", None)
    value = str(problems()[0].get("input", "")) if callable(problems) else ""
    return message if value in message else f"{message}, got {value!r}"


def _complain(message: str, code: int) -> int:
    print("pyseg: " + " ".join(message.split()), file=sys.stderr)
    return code


app = typer.Typer(
    name="pyseg",
    cls=_Group,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        import pyseg

        print(f"pyseg {pyseg.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Image segmentation: fast kernels, from the command line."""
    if context.invoked_subcommand is None:
        print(context.get_help())


app.command()(superpixels)
app.command()(compare)
app.command()(crf)
app.command()(cut)
app.command()(info)
app.command()(bench)
