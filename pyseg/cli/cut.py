"""``pyseg cut``: an object out of a photograph, by a box, clicks, strokes, a contour or a trimap; a mask as a file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from . import options
from .errors import Refused, at_least
from .run import Done, Item, RunOptions, check_outputs, run, shown
from .superpixels import PICTURE_OUTPUTS

__all__ = ["cut"]

Photo = Annotated[Path, typer.Argument(metavar="PHOTO", show_default=False, help="A picture.")]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="MASK", show_default=False, help="The mask, .png or .npy.")]
BoxOption = Annotated[
    str | None, typer.Option("--box", metavar="X0,Y0,X1,Y1", show_default=False, help="Closely around the object.")
]
Click = Annotated[
    list[str] | None,
    typer.Option("--click", metavar="X,Y[,bg]", show_default=False, help="In the object, or with bg not. Repeatable."),
]
ScribblesOption = Annotated[
    Path | None,
    typer.Option("--scribbles", metavar="FILE", show_default=False, help="A picture of strokes, see above."),
]
ContourOption = Annotated[
    str | None,
    typer.Option("--contour", metavar="X,Y,X,Y,...", show_default=False, help="Corners, roughly around the object."),
]
TrimapOption = Annotated[
    Path | None,
    typer.Option("--trimap", metavar="FILE", show_default=False, help="0 background, 128 unknown, 255 object."),
]
MaskOption = Annotated[
    Path | None, typer.Option("--mask", metavar="FILE", show_default=False, help="A first guess, non-zero inside.")
]
OverlayOption = Annotated[
    Path | None, typer.Option("--overlay", metavar="FILE", show_default=False, help="The object shown in the picture.")
]


def cut(
    photo: Photo,
    out: Out,
    box: BoxOption = None,
    click: Click = None,
    scribbles: ScribblesOption = None,
    contour: ContourOption = None,
    trimap: TrimapOption = None,
    mask: MaskOption = None,
    overlay: OverlayOption = None,
    threads: options.Threads = None,
    quiet: options.Quiet = False,
) -> None:
    """Cut an object out of a picture, given some of a box, clicks, strokes.

    MASK as .png holds 255 in the object and 0 elsewhere, as .npy booleans.
    --overlay is the picture, darkened outside, with the object's outline.

    A picture of strokes is in colours: red the object, blue the background,
    the rest (black, white, transparent, grey) unknown; or in grey: 1 the
    object, 0 the background, 255 unknown. It is as large as PHOTO.

    What is marked is kept to the pixel. x goes right, y down, both from 0.

    [bold]Examples[/bold]

    pyseg cut photo.jpg -o mask.png --box 120,40,380,300
    pyseg cut photo.jpg -o mask.png --click 250,170 --click 30,30,bg
    pyseg cut photo.jpg -o mask.png --scribbles strokes.png --overlay shown.png
    """
    import pyseg

    at_least("--threads", threads, 1)
    _check_names(photo, out, overlay)
    given: dict[str, Any] = {}
    if box is not None:
        given["box"] = _numbers("--box", box, "X0,Y0,X1,Y1", 4)
    if click:
        given["clicks"] = [_click(text) for text in click]
    if contour is not None:
        corners = _numbers("--contour", contour, "X,Y,X,Y,... with three corners or more", None)
        given["contour"] = [corners[i : i + 2] for i in range(0, len(corners), 2)]
    files = {"scribbles": scribbles, "trimap": trimap, "mask": mask}
    if not given and not any(files.values()):
        raise Refused("there must be one of --box, --click, --scribbles, --contour, --trimap, --mask, got none")
    outputs = (out,) if overlay is None else (out, overlay)
    items = [Item(photo, outputs)]
    check_outputs([Item(path, outputs) for path in (photo, *filter(None, files.values()))])
    if threads is not None:
        pyseg.set_num_threads(threads)
    _ = pyseg.cut  # loads the library now, so that the time is that of the call
    raise typer.Exit(run(items, lambda item: _work(item, given, files), RunOptions(quiet=quiet)))


def _check_names(photo: Path, out: Path, overlay: Path | None) -> None:
    if out.suffix.lower() not in (".png", ".npy"):
        raise Refused(f"-o must end in .png or .npy, got {shown(out)}")
    if overlay is not None and overlay.suffix.lower() not in PICTURE_OUTPUTS:
        raise Refused(f"--overlay must end in one of {', '.join(PICTURE_OUTPUTS)}, got {shown(overlay)}")
    if overlay is not None and overlay.resolve() == out.resolve():
        raise Refused(f"-o and --overlay must differ, got {shown(out)} twice")


def _numbers(option: str, text: str, rule: str, count: int | None) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or (len(values) != count if count else len(values) < 6 or len(values) % 2):
        raise Refused(f"{option} must be {rule}, got {text}")
    return values


def _click(text: str) -> tuple[float, float, bool]:
    place, _, kind = text.rpartition(",") if text.rstrip().endswith(("fg", "bg")) else (text, "", "fg")
    if kind.strip() not in ("fg", "bg"):
        raise Refused(f"--click must be X,Y or X,Y,bg, got {text}")
    x, y = _numbers("--click", place, "X,Y or X,Y,bg", 2)
    return x, y, kind.strip() == "fg"


def _work(item: Item, given: dict[str, Any], files: dict[str, Path | None]) -> Done:
    import numpy as np

    import pyseg

    from .. import images

    image = images.to_uint8(images.read_image(item.source))
    inputs = dict(given)
    for name, path in files.items():
        if path is not None:
            inputs[name] = _strokes(path) if name == "scribbles" else images.read_labels(path)
    start = time.perf_counter()
    mask = pyseg.cut(image, **inputs)
    seconds = time.perf_counter() - start
    out = item.outputs[0]
    if out.suffix.lower() == ".npy":
        with images.atomic_write(out) as file:
            np.save(file, mask, allow_pickle=False)
    else:
        images.write_image(out, mask.astype(np.uint8) * 255)
    for overlay in item.outputs[1:]:
        images.write_image(overlay, images.show_mask(image, mask))
    count = int(mask.sum())
    height, width = mask.shape
    threads = pyseg.get_num_threads()
    text = (
        f"{shown(item.source)}: {width} x {height}, {count} pixels ({100 * count / mask.size:.1f} %) in "
        f"{1e3 * seconds:.1f} ms ({threads} thread{'s' * (threads != 1)}) -> {', '.join(map(shown, item.outputs))}"
    )
    return Done(count, seconds, text)


def _strokes(path: Path) -> Any:
    """int8 [H, W]: 1 object, 0 background, -1 unknown."""
    import numpy as np

    from .. import images

    picture = images.read_image(path)
    out = np.full(picture.shape[:2], -1, np.int8)
    if picture.ndim == 2:
        if not np.isin(picture, (0, 1, 255)).all():
            wrong = picture[~np.isin(picture, (0, 1, 255))].flat[0]
            raise ValueError(f"grey strokes must be 0, 1 or 255, got {wrong} in {path}")
        out[picture == 0] = 0
        out[picture == 1] = 1
        return out
    red, green, blue = (picture[..., c].astype(int) for c in range(3))
    out[(blue > 127) & (blue > red + 64) & (blue > green + 64)] = 0
    out[(red > 127) & (red > blue + 64) & (red > green + 64)] = 1
    return out
