"""``pyseg crf``: the maps of a network, refined with their photographs by the dense CRF."""

from __future__ import annotations

import time
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from ..errors import ImageReadError
from . import options
from .crf_outputs import Asked, Labels, Plan, Probs, plan, written
from .errors import Refused, at_least
from .maps import ClassMap, Kind, MapOptions, read_map
from .paint import overlay, write_label_map, write_probs
from .run import Done, Item, RunOptions, check_outputs, run, shown

__all__ = ["crf"]


class Normalization(str, Enum):
    """Of the kernels."""

    SYMMETRIC = "symmetric"
    BEFORE = "before"
    AFTER = "after"
    NONE = "none"


class Storage(str, Enum):
    """Of the lattice's values."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"


INPUT, MODEL, OUTPUT = "Maps", "CRF", "Output"

Maps = Annotated[
    list[str], typer.Argument(metavar="MAP...", show_default=False, help="Map files, folders or quoted globs.")
]
Images = Annotated[
    Path, typer.Option("--images", "-i", metavar="IMAGES", show_default=False, help="Folder of photographs, or one.")
]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="OUT", show_default=False, help="Folder or file.")]
From = Annotated[
    Kind,
    typer.Option(
        "--from", metavar="WHAT", rich_help_panel=INPUT, help="What the maps hold: probs, logits, energy or labels."
    ),
]
ChannelAxis = Annotated[
    int | None,
    typer.Option(
        "--channel-axis", metavar="AXIS", rich_help_panel=INPUT, show_default="found", help="Of the classes: 0 or -1."
    ),
]
Key = Annotated[
    str | None,
    typer.Option("--key", rich_help_panel=INPUT, show_default=False, help="Of the array in an .npz of several."),
]
Resize = Annotated[bool, typer.Option("--resize", rich_help_panel=INPUT, help="Scale maps to their image's size.")]
Classes = Annotated[
    int | None,
    typer.Option(
        "--classes", metavar="K", rich_help_panel=INPUT, show_default="the largest + 1", help="Of --from labels."
    ),
]
Certainty = Annotated[
    float | None,
    typer.Option(
        "--certainty", metavar="P", rich_help_panel=INPUT, show_default="0.7", help="Probability of a given label."
    ),
]
Unsure = Annotated[
    int | None,
    typer.Option(
        "--unsure", metavar="LABEL", rich_help_panel=INPUT, show_default=False, help="The label that means: unknown."
    ),
]
NIter = Annotated[int, typer.Option("--n-iter", metavar="N", rich_help_panel=MODEL, help="Iterations.")]
GaussianSxy = Annotated[
    float, typer.Option("--gaussian-sxy", metavar="PX", rich_help_panel=MODEL, help="Reach of the smoothing.")
]
GaussianWeight = Annotated[
    float, typer.Option("--gaussian-weight", metavar="W", rich_help_panel=MODEL, help="Its strength; 0: none.")
]
BilateralSxy = Annotated[
    float,
    typer.Option("--bilateral-sxy", metavar="PX", rich_help_panel=MODEL, help="Reach among pixels of like colour."),
]
BilateralSrgb = Annotated[
    float, typer.Option("--bilateral-srgb", metavar="C", rich_help_panel=MODEL, help="How like, of 255.")
]
BilateralWeight = Annotated[
    float, typer.Option("--bilateral-weight", metavar="W", rich_help_panel=MODEL, help="Its strength; 0: none.")
]
NormalizationOption = Annotated[
    Normalization,
    typer.Option(
        "--normalization", metavar="HOW", rich_help_panel=MODEL, help="Of the kernels: symmetric, before, after, none."
    ),
]
StorageOption = Annotated[
    Storage,
    typer.Option("--storage", metavar="DTYPE", rich_help_panel=MODEL, help="float32, or the faster float16."),
]
WriteOption = Annotated[
    str | None,
    typer.Option(
        "--write", metavar="WHAT,...", rich_help_panel=OUTPUT, show_default="labels",
        help="labels, probs, both (of these), overlay.",
    ),
]  # fmt: skip
LabelsOption = Annotated[
    Labels | None,
    typer.Option(
        "--labels", metavar="KIND", rich_help_panel=OUTPUT, show_default="png", help="Labels as png, npy, npz or tif."
    ),
]
ProbsOption = Annotated[
    Probs | None,
    typer.Option(
        "--probs", metavar="KIND", rich_help_panel=OUTPUT, show_default="npz", help="Probabilities as npz, npy or png."
    ),
]


def crf(
    maps: Maps,
    images: Images,
    out: Out,
    from_: From = Kind.PROBS,
    channel_axis: ChannelAxis = None,
    key: Key = None,
    resize: Resize = False,
    classes: Classes = None,
    certainty: Certainty = None,
    unsure: Unsure = None,
    n_iter: NIter = 10,
    gaussian_sxy: GaussianSxy = 3.0,
    gaussian_weight: GaussianWeight = 3.0,
    bilateral_sxy: BilateralSxy = 80.0,
    bilateral_srgb: BilateralSrgb = 13.0,
    bilateral_weight: BilateralWeight = 10.0,
    normalization: NormalizationOption = Normalization.SYMMETRIC,
    storage: StorageOption = Storage.FLOAT32,
    threads: options.Threads = None,
    write: WriteOption = None,
    labels: LabelsOption = None,
    probs: ProbsOption = None,
    recursive: options.Recursive = False,
    resume: options.Resume = False,
    on_error: options.OnErrorOption = options.OnError.SKIP,
    manifest: options.Manifest = None,
    quiet: options.Quiet = False,
) -> None:
    """Sharpen the maps of a network by their photographs (dense CRF).

    A MAP is an .npy or .npz of floats, [H, W, K] or [K, H, W] with K classes,
    or [H, W]: the second of two. Or a grey .png of 8 or 16 bits: white is the
    second of two classes. With --from labels, label maps as .png, .tif, .npy
    or .npz. Its photograph is the file of the same name in IMAGES: probs/a.npz
    or probs/a.probs.npz, photos/a.jpg.

    Into a folder OUT go, as --write says, NAME.labels.png (8 bits, with the
    colours of PASCAL VOC), NAME.probs.npz (float16, key "probs"; as .npy
    float32; in the layout of the map) and NAME.overlay.png (the photograph
    under the classes' colours). For a single map OUT may be a file.

    [bold]Examples[/bold]

    pyseg crf probs/ --images photos/ -o refined/
    pyseg crf probs/ -i photos/ -o refined/ --write both,overlay --resume
    pyseg crf a.npy -i a.jpg -o a.png --from logits --channel-axis 0 --resize
    pyseg crf masks/ -i photos/ -o refined/ --bilateral-srgb 5 --n-iter 5
    pyseg crf labels/ -i photos/ -o out/ --from labels --unsure 255
    """
    import pyseg

    _check_model(n_iter, gaussian_sxy, gaussian_weight, bilateral_sxy, bilateral_srgb, bilateral_weight)
    at_least("--threads", threads, 1)
    reads = _map_options(from_, channel_axis, key, resize, classes, certainty, unsure)
    asked = Asked(write=written(write), labels=labels, probs=probs)
    planned = plan(maps, images, out, asked, recursive=recursive)
    check_outputs(planned.items, manifest, reads=planned.photographs())
    if threads is not None:
        pyseg.set_num_threads(threads)
    gaussian = pyseg.Gaussian(sxy=gaussian_sxy, weight=gaussian_weight)
    bilateral = pyseg.Bilateral(sxy=bilateral_sxy, srgb=bilateral_srgb, weight=bilateral_weight)
    model = {
        "n_iter": n_iter,
        "gaussian": gaussian if gaussian_weight else None,  # which costs nothing
        "bilateral": bilateral if bilateral_weight else None,
        "normalization": None if normalization is Normalization.NONE else normalization.value,
        "storage": storage.value,
    }
    _ = pyseg.dense_crf  # loads the library now, so that the first file's time is that of the call
    how = RunOptions(resume=resume, on_error=on_error, manifest=manifest, quiet=quiet)
    raise typer.Exit(run(planned.items, lambda item: _work(item, planned, reads, model), how))


def _check_model(n_iter: int, gxy: float, gweight: float, bxy: float, brgb: float, bweight: float) -> None:
    at_least("--n-iter", n_iter, 0)
    for name, value in (("--gaussian-sxy", gxy), ("--bilateral-sxy", bxy), ("--bilateral-srgb", brgb)):
        at_least(name, value, 0, above=True)
    at_least("--gaussian-weight", gweight, 0)
    at_least("--bilateral-weight", bweight, 0)


def _map_options(
    kind: Kind,
    channel_axis: int | None,
    key: str | None,
    resize: bool,
    classes: int | None,
    certainty: float | None,
    unsure: int | None,
) -> MapOptions:
    if kind is not Kind.LABELS:
        for name, value in (("--classes", classes), ("--certainty", certainty), ("--unsure", unsure)):
            if value is not None:
                raise Refused(f"{name} is for --from labels, got --from {kind.value}")
    elif channel_axis is not None:
        raise Refused(f"--channel-axis is not for --from labels, got {channel_axis}")
    if channel_axis not in (None, 0, 2, -1, -3):
        raise Refused(f"--channel-axis must be 0 or -1, got {channel_axis}")
    at_least("--classes", classes, 2)
    if certainty is not None and not 0 < certainty < 1:
        raise Refused(f"--certainty must be above 0 and below 1, got {certainty:g}")
    return MapOptions(
        kind=kind,
        key=key,
        channel_axis=channel_axis,
        resize=resize,
        classes=classes,
        certainty=0.7 if certainty is None else certainty,
        unsure=unsure,
    )


def _work(item: Item, planned: Plan, reads: MapOptions, model: dict[str, Any]) -> Done:
    import pyseg

    image = _photograph(planned.photograph[item.source])
    height, width = image.shape[:2]
    known = read_map(item.source, reads, (height, width))
    start = time.perf_counter()
    refined: NDArray[np.float32] = pyseg.dense_crf(known.values, image, **known.says, **model)
    seconds = time.perf_counter() - start
    labels = refined.argmax(axis=-1).astype(np.int32)
    left = int(np.unique(labels).size)
    _write(item, planned.kinds, known, image, refined, labels)
    wrote = ", ".join(shown(path) for path in item.outputs)
    threads = pyseg.get_num_threads()
    text = (
        f"{shown(item.source)}: {width} x {height}, {left} of {refined.shape[2]} classes in {1e3 * seconds:.1f} ms "
        f"({threads} thread{'s' * (threads != 1)}) -> {wrote}"
    )
    return Done(left, seconds, text)


def _photograph(path: Path | str) -> NDArray[np.uint8]:
    """uint8 [H, W, 3]."""
    from .. import images

    if isinstance(path, str):
        raise ValueError(path)  # why there is none
    try:
        image = images.to_uint8(images.read_image(path))
    except ImageReadError as error:  # which the loop would take for the map's
        raise ValueError(str(error)) from None
    height, width = image.shape[:2]
    return np.ascontiguousarray(np.broadcast_to(image.reshape(height, width, -1), (height, width, 3)))


def _write(
    item: Item,
    kinds: Sequence[str],
    known: ClassMap,
    image: NDArray[np.uint8],
    refined: NDArray[np.float32],
    labels: NDArray[np.int32],
) -> None:
    from .. import images

    for kind, path in zip(kinds, item.outputs, strict=True):
        if kind == "labels":
            write_label_map(path, labels, refined.shape[2])
        elif kind == "probs":
            write_probs(path, refined, known.layout)
        else:
            images.write_image(path, overlay(image, labels))
