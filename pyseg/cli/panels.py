"""One picture of several segmentations of a photograph: contours side by side, with a few words above each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..images import mark_contours

__all__ = ["Panel", "draw"]

NARROWEST = 480  # pixels: what the words need
TALLEST = 1440  # a panel that was enlarged
GAP = 16
SMALLEST = 9  # type
PAPER, INK, FAINT = (255, 255, 255), (20, 20, 20), (110, 110, 110)
SHAPE = 1.5  # width by height that the whole should come near to


@dataclass(frozen=True)
class Panel:
    """A label map [H, W], its title, and lines of words below that."""

    labels: NDArray[Any]
    title: str
    lines: Sequence[str]


def draw(image: NDArray[np.uint8], panels: Sequence[Panel], caption: str) -> NDArray[np.uint8]:
    """The panels in a grid over a caption. Small photographs are enlarged by a whole number, without smoothing.

    Args:
        image: uint8 [H, W, 3], the photograph of which every label map is one.
        panels: at least one, all with as many lines.
        caption: a line for the foot of the picture.

    Returns:
        uint8 [h, w, 3].
    """
    from PIL import Image, ImageDraw

    zoom = max(1, min(math.ceil(NARROWEST / image.shape[1]), TALLEST // image.shape[0]))
    large = _zoomed(image, zoom)
    height, width = large.shape[0], max(NARROWEST, large.shape[1])
    size = max(13, width // 44)
    title_size, step = round(1.4 * size), round(1.4 * size)
    above = 2 * step + step * max(len(panel.lines) for panel in panels)
    columns = _columns(len(panels), width + GAP, height + above + GAP)
    rows = -(-len(panels) // columns)
    shape = (columns * (width + GAP) + GAP, rows * (height + above + GAP) + 2 * step)
    sheet = Image.new("RGB", shape, PAPER)
    pen = ImageDraw.Draw(sheet)
    for i, panel in enumerate(panels):
        left = GAP + i % columns * (width + GAP)
        top = i // columns * (height + above + GAP)
        _write(pen, (left, top + step // 2), panel.title, title_size, width, INK)
        for j, line in enumerate(panel.lines):
            _write(pen, (left, top + 2 * step + j * step), line, size, width, INK)
        marked = mark_contours(large, _zoomed(panel.labels, zoom))
        sheet.paste(Image.fromarray(marked), (left, top + above))
    _write(pen, (GAP, shape[1] - round(1.7 * step)), caption, size, shape[0] - 2 * GAP, FAINT)
    return np.array(sheet)


def _zoomed(array: NDArray[Any], zoom: int) -> NDArray[Any]:
    return array.repeat(zoom, axis=0).repeat(zoom, axis=1)


def _columns(count: int, width: int, height: int) -> int:
    """How many columns come nearest to the shape, among those that leave no hole."""
    full = [n for n in range(1, count + 1) if count % n == 0]
    return min(full, key=lambda n: (abs(math.log(n * n * width / (count * height) / SHAPE)), n))


def _write(pen: Any, at: tuple[int, int], text: str, size: int, width: int, color: tuple[int, int, int]) -> None:
    """A line of at most ``width`` pixels: in smaller type where it would be longer, and cut where that is too small."""
    from PIL import ImageFont

    length = pen.textlength(text, ImageFont.load_default(size))
    font = ImageFont.load_default(max(SMALLEST, min(size, math.floor(size * width / max(length, 1)))))
    if pen.textlength(text, font) > width:
        while text and pen.textlength(text + "...", font) > width:
            text = text[:-1]
        text += "..."
    pen.text(at, text, color, font)
