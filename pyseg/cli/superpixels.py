"""``pyseg superpixels``: SLIC superpixels of pictures; label maps, contours and mean colours as files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from ..images import LABEL_SUFFIXES
from . import options, sources
from .errors import Refused, at_least
from .run import Done, Item, RunOptions, check_outputs, run, shown

__all__ = ["superpixels"]

PICTURE_OUTPUTS = (".png", ".jpg", ".jpeg")
# Pictures that other programs write: as -o they are a mistake, not the name of a folder.
NOT_WRITTEN = (".bmp", ".gif", ".webp", ".jp2", ".ppm", ".pgm", ".jpe", ".exr", ".heic", ".avif")


class Draw(str, Enum):
    """Which pictures to write."""

    CONTOURS = "contours"
    MEAN = "mean"
    BOTH = "both"
    NONE = "none"


class Labels(str, Enum):
    """As what to write the label map."""

    PNG = "png"
    NPY = "npy"
    NPZ = "npz"
    TIF = "tif"
    NONE = "none"


# What a folder scan leaves out where it meets its own output folder.
MADE = (".contours.png", ".mean.png", *(f".labels.{kind.value}" for kind in Labels))

HOLDS = {"contours": "a picture", "mean": "a picture", "both": "a picture", "labels": "a label map"}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The parameters of the call, and the colour of the contours."""

    segments: int
    size: float | None
    slic: dict[str, Any]
    color: tuple[int, int, int]


Out = Annotated[Path, typer.Option("--out", "-o", metavar="OUT", show_default=False, help="Folder or file.")]
Segments = Annotated[
    int | None, typer.Option("--segments", "-k", metavar="K", show_default="100", help="About how many superpixels.")
]
Size = Annotated[
    float | None,
    typer.Option("--size", metavar="PX", show_default=False, help="Instead of K: their mean width in pixels."),
]
Compactness = Annotated[
    float, typer.Option("--compactness", metavar="C", help="High: squares. Low: they follow colours.")
]
MaxIter = Annotated[int, typer.Option("--max-iter", metavar="N", help="Iterations.")]
Sigma = Annotated[
    float | None,
    typer.Option(
        "--sigma", metavar="PX", help="Gaussian blur beforehand; 0: none. Default: (1 2 1) / 4.", show_default=False
    ),
]
SlicZero = Annotated[bool, typer.Option("--slic-zero", help="SLICO: each finds its own compactness.")]
NoConnectivity = Annotated[bool, typer.Option("--no-connectivity", help="Leave them in several pieces.")]
DrawOption = Annotated[
    Draw | None,
    typer.Option("--draw", metavar="WHAT", show_default="contours", help="contours, mean, both or none."),
]
LabelsOption = Annotated[
    Labels | None, typer.Option("--labels", metavar="KIND", show_default="png", help="png, npy, npz, tif or none.")
]
Color = Annotated[str, typer.Option("--color", metavar="COLOR", help="Of contours: a name, #rrggbb or R,G,B.")]


def superpixels(
    source: options.Sources,
    out: Out,
    segments: Segments = None,
    size: Size = None,
    compactness: Compactness = 10.0,
    max_iter: MaxIter = 10,
    sigma: Sigma = None,
    slic_zero: SlicZero = False,
    no_connectivity: NoConnectivity = False,
    threads: options.Threads = None,
    draw: DrawOption = None,
    labels: LabelsOption = None,
    color: Color = "#ffdc00",
    recursive: options.Recursive = False,
    resume: options.Resume = False,
    on_error: options.OnErrorOption = options.OnError.SKIP,
    manifest: options.Manifest = None,
    quiet: options.Quiet = False,
) -> None:
    """Cut pictures into superpixels (SLIC).

    Into a folder OUT go NAME.contours.png, NAME.mean.png (every superpixel in
    its mean colour) and NAME.labels.png, .npy, .npz or .tif, as --draw and
    --labels say. Sub-folders of SOURCE are repeated there.

    For a single picture OUT may be a file, which holds one thing. One that
    ends in .npy, .npz or .tif: the label map. In .png or .jpg: the contours,
    or with --draw mean the mean colours. In .png with --labels png: the map.

    As PNG a label map is 16-bit grey; above 65535 labels it is RGBA, label =
    r + 256 g + 65536 b + 16777216 a. As .npy, .npz or .tif it is int32.
    16-bit grey pictures are stretched to 8 bits before they are cut.

    [bold]Examples[/bold]

    pyseg superpixels photo.jpg -o contours.png
    pyseg superpixels photo.jpg -o labels.npy --size 20
    pyseg superpixels photos/ -o out/ -k 500 --draw both --labels npz
    pyseg superpixels 'photos/**/*.jpg' -o out/ --manifest log.jsonl --resume
    """
    import pyseg

    slic = {
        "compactness": compactness,
        "max_iter": max_iter,
        "sigma": sigma,
        "slic_zero": slic_zero,
        "enforce_connectivity": not no_connectivity,
    }
    _check(segments, size, compactness, max_iter, sigma, threads)
    settings = Settings(segments=segments or 100, size=size, slic=slic, color=_color(color))
    items, kinds = _plan(source, out, draw, labels, recursive=recursive)
    check_outputs(items, manifest)
    if threads is not None:
        pyseg.set_num_threads(threads)
    _ = pyseg.slic  # loads the library now, so that the first file's time is that of the call
    how = RunOptions(resume=resume, on_error=on_error, manifest=manifest, quiet=quiet)
    raise typer.Exit(run(items, lambda item: _work(item, kinds, settings), how))


def _check(
    segments: int | None,
    size: float | None,
    compactness: float,
    max_iter: int,
    sigma: float | None,
    threads: int | None,
) -> None:
    if segments is not None and size is not None:
        raise Refused(f"--segments and --size exclude each other, got {segments} and {size:g}")
    at_least("--segments", segments, 1)
    at_least("--size", size, 1)
    at_least("--compactness", compactness, 0, above=True)
    at_least("--max-iter", max_iter, 1)
    if sigma is not None:
        at_least("--sigma", sigma, 0)
    at_least("--threads", threads, 1)


def _color(text: str) -> tuple[int, int, int]:
    from PIL import ImageColor

    try:
        parts: tuple[int, ...] = ImageColor.getrgb(f"rgb({text})" if "," in text else text)
    except ValueError:
        parts = ()
    if len(parts) != 3 or max(parts) > 255:
        raise Refused(f"--color must be a name, #rrggbb or R,G,B with values in 0..255, got {text}")
    red, green, blue = parts
    return red, green, blue


def _plan(
    source: Sequence[str], out: Path, draw: Draw | None, labels: Labels | None, *, recursive: bool
) -> tuple[list[Item], tuple[str, ...]]:
    """The items, and what each of an item's outputs holds: "contours", "mean" or "labels"."""
    if draw is Draw.NONE and labels is Labels.NONE:
        raise Refused("there must be something to write, got --draw none and --labels none")
    suffix = out.suffix.lower()
    if not out.is_dir() and suffix in NOT_WRITTEN + PICTURE_OUTPUTS + LABEL_SUFFIXES:
        if not sources.is_single_file(source):
            raise Refused(f"-o must be a folder where SOURCE is not one file, got {shown(out)}")
        if suffix in NOT_WRITTEN:
            known = ", ".join(dict.fromkeys(PICTURE_OUTPUTS + LABEL_SUFFIXES))
            raise Refused(f"-o must be a folder or end in one of {known}, got {shown(out)}")
        return [Item(Path(source[0]), (out,))], (_in_one_file(out, draw, labels),)
    if out.exists() and not out.is_dir():
        raise Refused(f"-o must be a folder or a file of a known ending, got {shown(out)}")
    endings = _endings(draw or Draw.CONTOURS, labels or Labels.PNG)
    found = sources.expand(source, recursive=recursive, out=out, made=MADE)
    names = sources.output_names(found)
    items = [
        Item(each.path, tuple(out / (str(name) + ending) for ending in endings.values()))
        for each, name in zip(found, names, strict=True)
    ]
    return items, tuple(endings)


def _endings(draw: Draw, labels: Labels) -> dict[str, str]:
    endings = {kind.value: f".{kind.value}.png" for kind in (Draw.CONTOURS, Draw.MEAN) if draw in (Draw.BOTH, kind)}
    if labels is not Labels.NONE:
        endings["labels"] = f".labels.{labels.value}"
    return endings


def _in_one_file(out: Path, draw: Draw | None, labels: Labels | None) -> str:
    """The one thing that a file OUT holds: its ending decides, and the options must not ask for another."""
    suffix = out.suffix.lower()
    pictures = draw.value if draw not in (None, Draw.NONE) else None
    maps = labels.value if labels not in (None, Labels.NONE) else None
    asked = " and ".join(f"--{name} {value.value}" for name, value in (("draw", draw), ("labels", labels)) if value)
    if suffix == ".png" and not pictures and (maps or draw is Draw.NONE) and labels is not Labels.NONE:
        kind, fits = "labels", maps in (None, "png")
    elif suffix in PICTURE_OUTPUTS:
        kind, fits = pictures or "contours", not maps and pictures != "both" and draw is not Draw.NONE
    else:
        own = suffix[1:].replace("tiff", "tif")
        kind, fits = "labels", not pictures and maps in (None, own) and labels is not Labels.NONE
    if not fits:
        raise Refused(f"-o must be a folder for {asked}, got {shown(out)}, which holds {HOLDS[kind]} alone")
    return kind


def _work(item: Item, kinds: tuple[str, ...], settings: Settings) -> Done:
    import numpy as np

    import pyseg

    from .. import images

    image = images.to_uint8(images.read_image(item.source))
    height, width = image.shape[:2]
    wanted = settings.segments
    if settings.size is not None:
        wanted = max(1, round(height * width / settings.size**2))
    start = time.perf_counter()
    labels = pyseg.slic(image, n_segments=wanted, **settings.slic)
    seconds = time.perf_counter() - start
    count = int(np.count_nonzero(np.bincount(labels.ravel())))
    for kind, path in zip(kinds, item.outputs, strict=True):
        if kind == "labels":
            images.write_labels(path, labels)
        elif kind == "mean":
            images.write_image(path, images.mean_color(image, labels))
        else:
            images.write_image(path, images.mark_contours(image, labels, settings.color))
    wrote = ", ".join(shown(path) for path in item.outputs)
    threads = pyseg.get_num_threads()
    text = (
        f"{shown(item.source)}: {width} x {height}, {count} superpixels in {1e3 * seconds:.1f} ms "
        f"({threads} thread{'s' * (threads != 1)}) -> {wrote}"
    )
    return Done(count, seconds, text)
