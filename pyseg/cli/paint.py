"""What ``pyseg crf`` writes: label maps with the colours of PASCAL VOC, probabilities, overlays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..images import atomic_write, mark_contours, write_labels
from .maps import Layout

__all__ = ["overlay", "palette", "write_label_map", "write_probs"]

OPACITY = 0.5


def palette(colors: int = 256) -> NDArray[np.uint8]:
    """uint8 [colors, 3]: those of the PASCAL VOC devkit, black first. Bit i of a colour's three values, from above, are
    bits 3i, 3i + 1 and 3i + 2 of its number, so that neighbours in number are far apart in colour."""
    number = np.arange(colors)[:, None]
    channel = np.arange(3)
    value = np.zeros((colors, 3), np.int64)
    for i in range(8):
        value |= (number >> (3 * i + channel) & 1) << (7 - i)
    return value.astype(np.uint8)


def write_label_map(path: Path, labels: NDArray[np.int32], classes: int) -> None:
    """As :func:`pyseg.images.write_labels`, but a .png of up to 256 classes is 8-bit with a palette."""
    from PIL import Image

    if path.suffix.lower() != ".png" or classes > 256:
        write_labels(path, labels)
        return
    picture = Image.fromarray(labels.astype(np.uint8))
    picture.putpalette(palette().tobytes())
    with atomic_write(path) as file:
        picture.save(file, "PNG")


def write_probs(path: Path, probs: NDArray[np.float32], layout: Layout) -> None:
    """[H, W, K] in the layout of the file that it came from: .npy as float32, .npz as float16 under the key ``probs``.

    A .png is 16-bit grey and holds the second of two classes.
    """
    suffix = path.suffix.lower()
    if suffix == ".png" and probs.shape[2] != 2:
        raise ValueError(f"probabilities of two classes alone fit a .png, got {probs.shape[2]} classes")
    array: NDArray[Any] = probs
    if suffix == ".png" or layout is Layout.FOREGROUND:
        array = probs[..., 1]
    elif layout is Layout.FIRST:
        array = np.ascontiguousarray(np.moveaxis(probs, -1, 0))
    with atomic_write(path) as file:
        if suffix == ".npy":
            np.save(file, array, allow_pickle=False)
        elif suffix == ".npz":
            np.savez_compressed(file, probs=array.astype(np.float16))
        else:
            from PIL import Image

            Image.fromarray(np.rint(array * 65535).astype(np.uint16)).save(file, "PNG")


def overlay(image: NDArray[np.uint8], labels: NDArray[np.int32]) -> NDArray[np.uint8]:
    """uint8 [H, W, 3]: the photograph under its classes' colours, with white lines between them."""
    blend = (1 - OPACITY) * image.astype(np.float32) + OPACITY * palette()[labels % 256].astype(np.float32)
    return mark_contours(np.rint(blend).astype(np.uint8), labels, (255, 255, 255))
