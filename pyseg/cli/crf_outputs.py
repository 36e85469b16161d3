"""Which files ``pyseg crf`` reads together and which it writes, by OUT and the options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from . import sources
from .errors import Refused
from .maps import MAP_SUFFIXES
from .pairs import Photographs
from .run import Item, shown

__all__ = ["Asked", "Labels", "Plan", "Probs", "plan", "written"]


class Labels(str, Enum):
    """As what to write a label map."""

    PNG = "png"
    NPY = "npy"
    NPZ = "npz"
    TIF = "tif"


class Probs(str, Enum):
    """As what to write probabilities."""

    NPZ = "npz"
    NPY = "npy"
    PNG = "png"


KINDS = ("labels", "probs", "overlay")
# What a file OUT may hold by its ending; the first where --write does not say.
HOLDS = {
    ".png": ("labels", "probs", "overlay"),
    ".jpg": ("overlay",),
    ".jpeg": ("overlay",),
    ".npy": ("probs", "labels"),
    ".npz": ("probs", "labels"),
    ".tif": ("labels",),
    ".tiff": ("labels",),
}
# What a folder scan leaves out where it meets its own output folder.
MADE = (
    *(f".labels.{kind.value}" for kind in Labels),
    *(f".probs.{kind.value}" for kind in Probs),
    ".overlay.png",
)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What to write: kinds, where --write was given; and as what."""

    write: tuple[str, ...] | None
    labels: Labels | None
    probs: Probs | None

    def text(self) -> str:
        given = (
            ("write", ",".join(self.write or ())),
            ("labels", self.labels.value if self.labels else ""),
            ("probs", self.probs.value if self.probs else ""),
        )
        return " and ".join(f"--{name} {value}" for name, value in given if value)


@dataclass(frozen=True)
class Plan:
    """The items; what each of an item's outputs holds; and a map's photograph, or why there is none."""

    items: list[Item]
    kinds: tuple[str, ...]
    photograph: dict[Path, Path | str]

    def photographs(self) -> list[Path]:
        return [path for path in self.photograph.values() if isinstance(path, Path)]


def written(text: str | None) -> tuple[str, ...] | None:
    """--write as kinds, in the order of ``KINDS``."""
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    wrong = [name for name in names if name not in (*KINDS, "both")]
    if wrong or not names:
        raise Refused(f"--write must be some of labels, probs, both, overlay, got {', '.join(wrong) or repr(text)}")
    if "both" in names:
        names += ["labels", "probs"]
    return tuple(kind for kind in KINDS if kind in names)


def plan(maps: Sequence[str], images: Path, out: Path, asked: Asked, *, recursive: bool) -> Plan:
    """Pair the maps with their photographs, and name the outputs.

    Raises:
        Refused: sources that are not there, or an OUT that the options do not fit.
    """
    photographs = Photographs(images, recursive=recursive)
    single = sources.is_single_file(maps)
    if photographs.is_file and not single:
        raise Refused(f"--images must be a folder where MAP is not one file, got {shown(images)}")
    if not out.is_dir() and out.suffix.lower() in HOLDS:
        if not single:
            raise Refused(f"-o must be a folder where MAP is not one file, got {shown(out)}")
        source = sources.Source(Path(maps[0]), Path(Path(maps[0]).name))
        kind = _in_one_file(out, asked)
        return Plan([Item(source.path, (out,))], (kind,), {source.path: photographs.of(source)})
    if out.exists() and not out.is_dir():
        raise Refused(f"-o must be a folder or a file of a known ending, got {shown(out)}")
    endings = _endings(asked)
    found = sources.expand(maps, recursive=recursive, out=out, made=MADE, endings=MAP_SUFFIXES, what="map")
    items = [
        Item(source.path, tuple(out / (str(name) + ending) for ending in endings.values()))
        for source, name in zip(found, sources.output_names(found), strict=True)
    ]
    return Plan(items, tuple(endings), {source.path: photographs.of(source) for source in found})


def _endings(asked: Asked) -> dict[str, str]:
    kinds = asked.write or ("labels",)
    for name, value in (("labels", asked.labels), ("probs", asked.probs)):
        if value is not None and name not in kinds:
            raise Refused(f"--{name} says as what to write {name}, got --{name} {value.value} without --write {name}")
    all_endings = {
        "labels": f".labels.{(asked.labels or Labels.PNG).value}",
        "probs": f".probs.{(asked.probs or Probs.NPZ).value}",
        "overlay": ".overlay.png",
    }
    return {kind: all_endings[kind] for kind in kinds}


def _in_one_file(out: Path, asked: Asked) -> str:
    """The one thing that a file OUT holds: its ending decides, and the options must not ask for another."""
    suffix = out.suffix.lower()
    holds = HOLDS[suffix]
    kinds = asked.write or ((holds[0],) if asked.labels is None and asked.probs is None else ())
    if not kinds:  # a format alone says what is meant
        kinds = tuple(name for name, value in (("labels", asked.labels), ("probs", asked.probs)) if value)
    own = suffix[1:].replace("tiff", "tif")
    formats = {"labels": asked.labels, "probs": asked.probs}
    fits = len(kinds) == 1 and kinds[0] in holds
    for name, value in formats.items():
        fits = fits and (value is None or (name == kinds[0] and value.value == own))
    if not fits:
        what = " or ".join(holds)
        raise Refused(f"-o must be a folder for {asked.text()}, got {shown(out)}, which holds one of {what}")
    return kinds[0]
