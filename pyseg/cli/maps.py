"""What a network says of every pixel, from files: probabilities, logits, energies or labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._decode import Refused as Unreadable
from .._decode import decode, reading
from .._npy import is_npy, is_npz, read_npy, read_npz
from ..images import MAX_PIXELS, read_labels

__all__ = ["MAP_SUFFIXES", "ClassMap", "Kind", "Layout", "MapOptions", "read_map"]

MAP_SUFFIXES = (".npy", ".npz", ".png", ".tif", ".tiff")
MAX_VALUES = 2**30  # 4 GB as float32: 150 classes at 2048 x 1024 are a third of it


class Kind(str, Enum):
    """What a map's values are."""

    PROBS = "probs"
    LOGITS = "logits"
    ENERGY = "energy"
    LABELS = "labels"


class Layout(str, Enum):
    """Where a file has its classes."""

    LAST = "[H, W, K]"
    FIRST = "[K, H, W]"
    FOREGROUND = "[H, W]"  # of two classes, the second


@dataclass(frozen=True)
class ClassMap:
    """float32 [H, W, K], C-contiguous, or of labels int32 [H, W], -1 where unsure; and how the file had the classes.

    ``says`` are the arguments that tell ``pyseg.dense_crf`` what the values are.
    """

    values: NDArray[Any]
    layout: Layout
    says: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class MapOptions:
    """As on the command line. ``classes``, ``certainty`` and ``unsure`` are for labels alone."""

    kind: Kind = Kind.PROBS
    key: str | None = None
    channel_axis: int | None = None
    resize: bool = False
    classes: int | None = None
    certainty: float = 0.7
    unsure: int | None = None


def read_map(path: Path, options: MapOptions, size: tuple[int, int]) -> ClassMap:
    """Read a map for an image of ``size``, (H, W).

    An .npy or .npz (told by the content) holds [H, W, K] or [K, H, W], or [H, W] for the second of two classes; axes of
    length 1 in front are dropped. Another file is a picture: the second class's probability as 8-bit grey (255: 1),
    16-bit grey (65535: 1) or a float TIFF; or labels.

    Raises:
        ImageReadError: the file cannot be read.
        ValueError: its values or shape break a rule.
    """
    if options.kind is Kind.LABELS:
        return _labels(_fitted(_read_labels(path, options), size, options.resize, nearest=True), options)
    array, layout = _laid_out(_read_values(path, options), options, size)
    array = _fitted(array, size, options.resize)
    if layout is Layout.FOREGROUND:
        array = np.stack([1 - array if options.kind is Kind.PROBS else np.zeros_like(array), array], axis=-1)
    return ClassMap(np.ascontiguousarray(array), layout, {"unary_from": options.kind.value})


def _read_values(path: Path, options: MapOptions) -> NDArray[Any]:
    with reading(path, MAX_PIXELS) as file:
        head = file.read(6)
        file.seek(0)
        if is_npy(head):
            return _in_front(read_npy(file, MAX_VALUES))
        if is_npz(head):
            return _in_front(read_npz(file, MAX_VALUES, options.key, (options.kind.value, "probs")))
        image = decode(file, MAX_PIXELS)
        if options.kind is not Kind.PROBS and image.mode != "F":
            raise Unreadable(f"a picture of integers holds probabilities or labels, not --from {options.kind.value}")
        if image.mode == "P":
            raise Unreadable("a picture with a palette holds labels: --from labels")
        if image.mode not in {"1", "L", "F"} and not image.mode.startswith("I;16"):
            raise Unreadable(f"a probability map is 8- or 16-bit grey, this picture is {image.mode}")
        full = {"1": 1, "L": 255, "F": 1}.get(image.mode, 65535)
        return np.array(image).astype(np.float32) / np.float32(full)


def _read_labels(path: Path, options: MapOptions) -> NDArray[Any]:
    """Integers [H, W]."""
    with reading(path, MAX_PIXELS) as file:
        head = file.read(6)
        file.seek(0)
        if is_npy(head):
            labels = _in_front(read_npy(file, MAX_PIXELS), 2)
        elif is_npz(head):
            labels = _in_front(read_npz(file, MAX_PIXELS, options.key, ("labels",)), 2)
        else:
            return read_labels(path)
    if labels.ndim != 2 or labels.size == 0 or labels.dtype.kind not in "biu":
        raise ValueError(f"labels must be integers [H, W], got {labels.dtype} {list(labels.shape)}")
    return labels


def _in_front(array: NDArray[Any], dims: int = 3) -> NDArray[Any]:
    """Without axes of length 1 in front of the last ``dims``: what a batch of one is saved as."""
    while array.ndim > dims and array.shape[0] == 1:
        array = array[0]
    return array


def _laid_out(array: NDArray[Any], options: MapOptions, size: tuple[int, int]) -> tuple[NDArray[np.float32], Layout]:
    """float32 [H, W, K], or [H, W] of the second class."""
    kind = options.kind
    if array.ndim not in (2, 3) or array.size == 0:
        raise ValueError(f"a map must be [H, W, K], [K, H, W] or [H, W], got {list(array.shape)}")
    if array.dtype.kind not in ("f" if kind is Kind.PROBS else "fiu"):
        rule = "floats (integers: save them divided by what stands for 1, or as a picture)"
        raise ValueError(f"{kind.value} must be {rule if kind is Kind.PROBS else 'numbers'}, got {array.dtype}")
    layout = Layout.FOREGROUND
    if array.ndim == 3:
        layout = _layout(array.shape, options.channel_axis, size)
        if layout is Layout.FIRST:
            array = np.moveaxis(array, 0, -1)
        if array.shape[2] == 1:
            array, layout = array[..., 0], Layout.FOREGROUND
    if layout is Layout.FOREGROUND and kind is Kind.ENERGY:
        raise ValueError(f"energies must be of two classes at least, got {list(array.shape)}")
    with np.errstate(over="ignore"):  # infinite then, which the CRF refuses
        return array.astype(np.float32), layout


def _layout(shape: Sequence[int], channel_axis: int | None, size: tuple[int, int]) -> Layout:
    """The axis that is given; or the one that leaves the image's size; or the shortest, if it stands at an end."""
    if channel_axis is not None:
        return Layout.FIRST if channel_axis in (0, -3) else Layout.LAST
    if tuple(shape[:2]) == size:
        return Layout.LAST
    if tuple(shape[1:]) == size:
        return Layout.FIRST
    first, height, last = shape
    if last < min(first, height):
        return Layout.LAST
    if first < min(height, last):
        return Layout.FIRST
    raise ValueError(f"--channel-axis must say where {list(shape)} has its classes")


def _fitted(array: NDArray[Any], size: tuple[int, int], resize: bool, *, nearest: bool = False) -> NDArray[Any]:
    """[H, W] or [H, W, K] of the image's size: bilinear, with averages where it shrinks; or the nearest pixels."""
    height, width = array.shape[:2]
    if (height, width) == size:
        return array
    if not resize:
        sizes = f"{width} x {height} for an image of {size[1]} x {size[0]}"
        raise ValueError(f"a map must be of its image's size (--resize scales it), got {sizes}")
    if nearest:
        y = ((np.arange(size[0]) + 0.5) * height / size[0]).astype(np.int64)
        x = ((np.arange(size[1]) + 0.5) * width / size[1]).astype(np.int64)
        picked: NDArray[Any] = array[y[:, None], x]
        return picked
    from PIL import Image

    def scaled(channel: NDArray[Any]) -> NDArray[Any]:
        picture = Image.fromarray(np.ascontiguousarray(channel))
        values = np.array(picture.resize((size[1], size[0]), Image.Resampling.BILINEAR))
        # Its rounding must not make a probability of 1.0000001.
        return np.asarray(np.clip(values, channel.min(), channel.max()))

    if array.ndim == 2:
        return scaled(array)
    return np.stack([scaled(channel) for channel in np.moveaxis(array, -1, 0)], axis=-1)


def _labels(labels: NDArray[Any], options: MapOptions) -> ClassMap:
    known = np.ones(labels.shape, bool) if options.unsure is None else labels != options.unsure
    low, high = (int(labels[known].min()), int(labels[known].max())) if known.any() else (0, 0)
    classes = options.classes or max(2, high + 1)
    if low < 0 or high >= classes:
        rule = "at least 0" if options.classes is None else f"in 0..{classes - 1} (--classes)"
        raise ValueError(f"labels must be {rule}, or the one of --unsure, got {low if low < 0 else high}")
    if labels.size * classes > MAX_VALUES:
        raise ValueError(f"pixels x classes must be at most {MAX_VALUES}, got {labels.size} x {classes}")
    values = np.where(known, labels, 0).astype(np.int32)
    values[~known] = -1
    return ClassMap(values, Layout.LAST, {"unary_from": "labels", "n_classes": classes, "gt_prob": options.certainty})
