"""``pyseg compare``: superpixel methods on one photograph, side by side in a picture and in a table."""

from __future__ import annotations

import contextlib
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from ..errors import ImageReadError
from . import options
from .errors import Refused, at_least
from .methods import Method, Prepared, prepare
from .panels import Panel, draw
from .run import Done, Item, RunOptions, check_outputs, reason, run, shown
from .scores import measure, table, words, write_json

__all__ = ["compare"]


ALL = ",".join(method.value for method in Method)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """As on the command line."""

    methods: tuple[Method, ...]
    segments: int
    max_size: int
    runs: int
    truth: tuple[Path, ...]
    json_file: Path | None


Photo = Annotated[Path, typer.Argument(metavar="PHOTO", show_default=False, help="A picture file.")]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The picture to write, .png or .jpg.")]
Segments = Annotated[int, typer.Option("--segments", "-k", metavar="K", help="About how many superpixels of each.")]
Methods = Annotated[
    str, typer.Option("--methods", metavar="A,B,...", show_default="all four", help="Those to compare, by name.")
]
Truth = Annotated[
    list[Path] | None,
    typer.Option(
        "--truth",
        metavar="LABELMAP",
        show_default=False,
        help="A human segmentation, to be measured against; repeatable.",
    ),
]
MaxSize = Annotated[
    int, typer.Option("--max-size", metavar="PX", help="Scale larger photographs down to this long side; 0: never.")
]
Runs = Annotated[int, typer.Option("--runs", metavar="N", help="Timed calls of each, after one that is not.")]
JsonFile = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", show_default=False, help="Write the figures there too.")
]


def compare(
    photo: Photo,
    out: Out = Path("compare.png"),
    segments: Segments = 300,
    methods: Methods = ALL,
    truth: Truth = None,
    threads: options.Threads = None,
    max_size: MaxSize = 640,
    runs: Runs = 5,
    json_file: JsonFile = None,
    quiet: options.Quiet = False,
) -> None:
    """Show slic, felzenszwalb, quickshift and turbopixels side by side.

    One picture with the contours of each, its number of superpixels, time and
    quality, and the same as a table. slic and turbopixels are asked for K
    superpixels; felzenszwalb's scale and quickshift's max_dist are searched
    until they give about K, and the values found are shown.

    Time: the median of N calls, one of each method in turn. Large photographs
    are scaled down first (--max-size), because quickshift, called again and
    again by its search, and turbopixels are slow on them.

    Quality: explained variation (EV) and compactness (CO), higher is better;
    with --truth undersegmentation error (UE), lower is better, boundary recall
    within 2 pixels (BR) and achievable segmentation accuracy (ASA), higher is
    better. LABELMAP is a grey or palette .png, .tif, .npy or .npz of the
    photograph's size; of several the mean is taken.

    [bold]Examples[/bold]

    pyseg compare photo.jpg
    pyseg compare photo.jpg -o compare.png --segments 500 --methods slic,quickshift
    pyseg compare photo.jpg --truth anna.png --truth ben.png --threads 1
    pyseg compare photo.jpg --max-size 0 --runs 9 --json compare.json
    """
    import pyseg

    at_least("--segments", segments, 1)
    at_least("--max-size", max_size, 0)
    at_least("--runs", runs, 1)
    at_least("--threads", threads, 1)
    if out.suffix.lower() not in {".png", ".jpg", ".jpeg"}:
        raise Refused(f"-o must end in .png, .jpg or .jpeg, got {shown(out)}")
    settings = Settings(
        methods=_methods(methods),
        segments=segments,
        max_size=max_size,
        runs=runs,
        truth=tuple(truth or ()),
        json_file=json_file,
    )
    items = [Item(photo, (out,) if json_file is None else (out, json_file))]
    check_outputs(items, reads=settings.truth)
    if threads is not None:
        pyseg.set_num_threads(threads)
    missing: dict[str, str] = {}
    code = run(items, lambda item: _work(item, settings, missing), RunOptions(can_resume=False, quiet=quiet))
    for name, why in missing.items():
        print(f"not compared: {name}: {why}", file=sys.stderr)
    raise typer.Exit(code or int(bool(missing)))


def _methods(text: str) -> tuple[Method, ...]:
    known = {method.value: method for method in Method}
    names = [name.strip() for name in text.split(",") if name.strip()]
    wrong = [name for name in names if name not in known]
    if wrong or not names:
        raise Refused(f"--methods must be some of {', '.join(known)}, got {', '.join(wrong) or repr(text)}")
    return tuple(known[name] for name in dict.fromkeys(names))


def _work(item: Item, settings: Settings, missing: dict[str, str]) -> Done:
    import pyseg

    from .. import images

    image = _rgb(images.to_uint8(images.read_image(item.source)))
    shape = image.shape[:2]
    truth = _truth(settings.truth, shape)
    image, truth = _scaled(image, truth, settings.max_size)
    prepared, labels = _prepare(image, settings, missing)
    if not prepared:
        raise ValueError("no method could be run: " + "; ".join(f"{name}: {why}" for name, why in missing.items()))
    times = _time({method.value: each.call for method, each in prepared.items()}, settings.runs)
    rows = [
        measure(method, each, labels[method], statistics.median(times[method.value]), image, truth)
        for method, each in prepared.items()
    ]
    threads = pyseg.get_num_threads()
    caption = (
        f"{shown(item.source.name)}: {_size(shape)}{_scaling(shape, image.shape[:2], settings.max_size)}, "
        f"{settings.segments} superpixels asked for, median of {settings.runs}, "
        f"{threads} thread{'s' * (threads != 1)}"
    )
    panels = [Panel(labels[Method(row.name)], row.name, words(row)) for row in rows]
    images.write_image(item.outputs[0], draw(image, panels, caption))
    if settings.json_file is not None:
        known = {"source": str(item.source), "height": image.shape[0], "width": image.shape[1], "missing": missing}
        asked = {"segments": settings.segments, "runs": settings.runs, "threads": threads}
        write_json(settings.json_file, rows, **known, **asked)
    wrote = ", ".join(shown(path) for path in item.outputs)
    seconds = sum(row.median_ms for row in rows) / 1e3
    return Done(len(rows), seconds, f"{caption}\n{table(rows)}\n-> {wrote}")


def _rgb(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Three channels, so that every method sees the same."""
    return np.ascontiguousarray(np.broadcast_to(image.reshape(*image.shape[:2], -1), (*image.shape[:2], 3)))


def _truth(paths: Sequence[Path], shape: tuple[int, ...]) -> NDArray[np.int32] | None:
    """[A, H, W] of the photograph's size."""
    from ..images import read_labels

    maps = []
    for path in paths:
        try:
            labels = read_labels(path)
        except ImageReadError as error:  # which the loop would take for the photograph's
            raise ValueError(f"--truth: {error}") from None
        if labels.shape != shape:
            raise ValueError(f"--truth must be of the photograph's size, {_size(shape)}, got {_size(labels.shape)}")
        maps.append(labels)
    return np.stack(maps) if maps else None


def _scaled(
    image: NDArray[np.uint8], truth: NDArray[np.int32] | None, max_size: int
) -> tuple[NDArray[np.uint8], NDArray[np.int32] | None]:
    """Both with a long side of ``max_size`` at most; of the truth the nearest pixels, whose labels are no colours."""
    from PIL import Image

    height, width = image.shape[:2]
    if max_size == 0 or max(height, width) <= max_size:
        return image, truth
    factor = max_size / max(height, width)
    low, narrow = max(1, round(height * factor)), max(1, round(width * factor))
    small = np.array(Image.fromarray(image).resize((narrow, low), Image.Resampling.LANCZOS))
    if truth is not None:
        y = ((np.arange(low) + 0.5) * height / low).astype(np.int64)
        x = ((np.arange(narrow) + 0.5) * width / narrow).astype(np.int64)
        truth = truth[:, y[:, None], x]
    return small, truth


def _prepare(
    image: NDArray[np.uint8], settings: Settings, missing: dict[str, str]
) -> tuple[dict[Method, Prepared], dict[Method, NDArray[np.int32]]]:
    """The calls, and the labels of the first, which warms up as well. What cannot be called goes to ``missing``."""
    prepared: dict[Method, Prepared] = {}
    labels: dict[Method, NDArray[np.int32]] = {}
    for method in settings.methods:
        with _status(f"{method.value}: {settings.segments} superpixels"):
            try:
                each = prepare(method, image, settings.segments)
                labels[method] = each.call()
                prepared[method] = each
            except Exception as error:  # the others go on
                missing[method.value] = reason(error)
    return prepared, labels


def _time(calls: dict[str, Callable[[], Any]], runs: int) -> dict[str, list[float]]:
    from .peers import interleave

    with _status("timing"):
        return interleave(calls, runs)


@contextlib.contextmanager
def _status(text: str) -> Iterator[None]:
    """On a terminal, what takes so long."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(text):
        yield


def _size(shape: Sequence[int]) -> str:
    return f"{shape[1]} x {shape[0]}"


def _scaling(shape: Sequence[int], now: Sequence[int], max_size: int) -> str:
    return "" if tuple(shape) == tuple(now) else f" scaled down to {_size(now)} (--max-size {max_size})"
