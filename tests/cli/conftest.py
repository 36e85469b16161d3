"""What the tests of the command line share: real photographs, and a way to call it."""

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import skimage.data
from PIL import Image
from typer.testing import CliRunner

# The terminal that help is laid out for, wherever the tests run.
PLAIN = {"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1", "TERMINAL_WIDTH": "100"}


@dataclasses.dataclass
class Outcome:
    """Of one command: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


@pytest.fixture
def pyseg_cli():
    """Calls the command line in this process; an exception that is not an exit is the test's failure."""
    from pyseg.cli.app import app

    def call(*arguments):
        done = CliRunner(env=PLAIN).invoke(
            app, [str(argument) for argument in arguments], catch_exceptions=False, prog_name="pyseg"
        )
        return Outcome(done.exit_code, done.stdout, done.stderr)

    return call


@pytest.fixture
def start_cli():
    """Starts the command line as a process of its own."""
    started = []

    def start(*arguments, stderr=subprocess.PIPE, **environment):
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "pyseg.cli", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=os.environ | PLAIN | environment,
            # Whoever runs the tests in the background may have had the signal ignored, which children inherit.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def photo():
    """uint8 [128, 160, 3]: the middle of a photograph."""
    return skimage.data.astronaut()[40:168, 150:310]


@pytest.fixture
def photos(tmp_path, photo):
    """A folder with three photographs, a corrupt one, a text file, a hidden file and a sub-folder with a fourth."""
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    for i, name in enumerate(["a.jpg", "b.PNG", "c.tif", "deep/d.png"]):
        Image.fromarray(photo[i:, i:]).save(folder / name)
    (folder / "broken.jpg").write_bytes((folder / "a.jpg").read_bytes()[:900])
    (folder / "notes.txt").write_text("not a picture")
    (folder / "._a.jpg").write_bytes(b"what some systems leave")
    return folder


@pytest.fixture
def files_in():
    """The files below a folder, as relative names."""

    def files(folder: Path):
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

    return files
