"""What a person gives, checked in the user's words and drawn into a map of strokes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyseg._arrays import to_numpy
from pyseg._check import flag, integer, real
from pyseg.images import to_uint8

__all__ = ["FAR", "Shape", "box", "click", "contour", "mask", "paint_disc", "paint_line", "picture", "scribble_map",
           "strokes", "trimap"]  # fmt: skip

Shape = tuple[int, int]
Strokes = NDArray[np.int8]  # -1 unknown, 0 background, 1 foreground
FAR = 1e6  # coordinates beyond this are a mistake


def picture(image: Any, channel_axis: int | None) -> tuple[NDArray[np.uint8], Any]:
    """The image as uint8 [H, W, 3], C-contiguous, and the way back to its kind of array.

    uint16 is stretched from its minimum to its maximum; floats are within 0 .. 1.
    """
    array, back = to_numpy("cut", "image", image)
    if array.ndim == 3:
        axis = integer("cut", "channel_axis", -1 if channel_axis is None else channel_axis, -3, 2)
        array = np.moveaxis(array, axis, -1)
        if array.shape[2] == 1:
            array = array[..., 0]
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
        raise ValueError(f"cut: image must be [H, W], [H, W, 1] or [H, W, 3], got {list(array.shape)}")
    if 0 in array.shape:
        raise ValueError(f"cut: image must not be empty, got {list(array.shape)}")
    if array.size >= 2**31:
        raise ValueError(f"cut: image must have fewer than 2^31 values, got {list(array.shape)}")
    if array.dtype.kind == "f":
        low, high = float(array.min()), float(array.max())
        if not (low >= 0 and high <= 1):  # NaN comes out here too
            raise ValueError(f"cut: a floating-point image must be within 0 .. 1, got {low:g} .. {high:g}")
        array = np.rint(array.astype(np.float32, copy=False) * np.float32(255)).astype(np.uint8)
    elif array.dtype not in (np.uint8, np.uint16):
        raise TypeError(f"cut: image must be uint8, uint16 or floating point, got {array.dtype}")
    array = to_uint8(array)
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, axis=2)
    return np.ascontiguousarray(array), back


def _numbers(name: str, value: Any, rule: str) -> NDArray[np.float64]:
    """``value`` as finite coordinates."""
    try:
        array, _ = to_numpy("cut", name, value if hasattr(value, "shape") else np.asarray(value))
        if array.dtype.kind not in "iuf":
            raise TypeError
        array = array.astype(np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"cut: {name} must be {rule}, got {_short(value)}") from None
    if not (np.abs(array) <= FAR).all():  # NaN comes out here too
        raise ValueError(f"cut: {name} must have finite coordinates of at most {FAR:g}, got {_short(value)}")
    return array


def _short(value: Any) -> str:
    text = repr(value).replace("\n", " ")
    return text if len(text) < 80 else text[:77] + "..."


def box(value: Any, shape: Shape) -> tuple[float, float, float, float]:
    """(x0, y0, x1, y1) cut to the image."""
    rule = "(x0, y0, x1, y1) in pixels"
    array = _numbers("box", value, rule)
    if array.shape != (4,):
        raise ValueError(f"cut: box must be {rule}, got {list(array.shape)} numbers")
    x0, y0, x1, y1 = array.tolist()
    if x1 <= x0 or y1 <= y0:
        raise ValueError(f"cut: box must have x1 > x0 and y1 > y0, got {_short(value)}")
    height, width = shape
    if min(x1, width) - max(x0, 0) <= 0 or min(y1, height) - max(y0, 0) <= 0:
        raise ValueError(f"cut: box must overlap the image, {width} x {height}, got {_short(value)}")
    return max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))


def click(value: Any, shape: Shape) -> tuple[float, float, bool]:
    """(x, y, is_foreground), (x, y) alone is foreground."""
    rule = "(x, y, is_foreground)"
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str) or len(value) not in (2, 3):
        raise TypeError(f"cut: a click must be {rule}, got {_short(value)}")
    x, y = real("cut", "a click's x", value[0]), real("cut", "a click's y", value[1])
    height, width = shape
    if not (0 <= x < width and 0 <= y < height):
        raise ValueError(f"cut: a click must lie in the image, {width} x {height}, got {_short(value)}")
    kind = value[2] if len(value) == 3 else True
    if isinstance(kind, float | np.floating | np.integer) and kind in (0, 1):  # from an array of numbers
        kind = bool(kind)
    return x, y, flag("cut", "a click's is_foreground", kind)


def contour(value: Any, shape: Shape) -> NDArray[np.float64]:
    """Polygon [N, 2] (x, y), N >= 3, that is closed by itself."""
    rule = "a polygon [N, 2] (x, y) with N >= 3"
    array = _numbers("contour", value, rule)
    if array.ndim != 2 or array.shape[1] != 2 or len(array) < 3 or len(array) > 2**16:
        raise ValueError(f"cut: contour must be {rule} and at most 65536, got {list(array.shape)}")
    return np.round(array, 3)


def _map(name: str, value: Any, shape: Shape, kinds: str, what: str) -> NDArray[Any]:
    array, _ = to_numpy("cut", name, value)
    if array.shape != shape:
        raise ValueError(f"cut: {name} must be {list(shape)} as the image, got {list(array.shape)}")
    if array.dtype.kind not in kinds:
        raise TypeError(f"cut: {name} must be {what}, got {array.dtype}")
    return array


def mask(value: Any, shape: Shape) -> NDArray[np.bool_]:
    array = _map("mask", value, shape, "biu", "bool or integers")
    result: NDArray[np.bool_] = array != 0
    return result


def trimap(value: Any, shape: Shape) -> Strokes:
    array = _map("trimap", value, shape, "iu", "uint8: 0 background, 128 unknown, 255 foreground")
    return _coded("trimap", array, {0: 0, 128: -1, 255: 1})


def scribble_map(value: Any, shape: Shape) -> Strokes:
    array = _map("scribbles", value, shape, "i", "signed integers: 1 foreground, 0 background, -1 unknown")
    return _coded("scribbles", array, {0: 0, -1: -1, 1: 1})


def _coded(name: str, array: NDArray[Any], codes: dict[int, int]) -> Strokes:
    out = np.full(array.shape, -1, np.int8)
    known = np.zeros(array.shape, bool)
    for code, meaning in codes.items():
        at = array == code
        known |= at
        if meaning >= 0:
            out[at] = meaning
    if not known.all():
        wrong = array[~known].flat[0]
        raise ValueError(f"cut: {name} must hold {', '.join(map(str, sorted(codes)))} alone, got {wrong}")
    return out


def strokes(value: Any, shape: Shape) -> list[tuple[NDArray[np.float64], bool, float]]:
    """Lines (points [N, 2], is_foreground) or (points, is_foreground, width in pixels)."""
    rule = "a map [H, W] or a list of (points [N, 2], is_foreground, width)"
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise TypeError(f"cut: scribbles must be {rule}, got {_short(value)}")
    found = []
    for item in value:
        if not isinstance(item, Sequence) or isinstance(item, str) or len(item) not in (2, 3):
            raise TypeError(f"cut: scribbles must be {rule}, got {_short(item)}")
        points = _numbers("a scribble", item[0], "points [N, 2] (x, y)")
        if points.ndim != 2 or points.shape[1] != 2 or len(points) == 0:
            raise ValueError(f"cut: a scribble must be points [N, 2] (x, y), got {list(points.shape)}")
        width = real("cut", "a scribble's width", item[2]) if len(item) == 3 else 5.0
        if not 0 < width <= max(shape):
            raise ValueError(f"cut: a scribble's width must be above 0 and at most {max(shape)}, got {width:g}")
        found.append((points, flag("cut", "a scribble's is_foreground", item[1]), width))
    return found


# ---- drawing; a pixel's centre has whole coordinates ----------------------------------------------------------------


def paint_disc(canvas: Strokes, x: float, y: float, radius: float, value: int) -> None:
    """The pixel under (x, y) always belongs to the disc."""
    paint_line(canvas, np.array([[x, y]]), 2 * radius + 1, value)
    height, width = canvas.shape
    canvas[min(int(y), height - 1), min(int(x), width - 1)] = value


def paint_line(canvas: Strokes, points: NDArray[np.float64], width: float, value: int) -> None:
    """All pixels whose centre is at most half the width from the polyline, which may leave the image."""
    reach = max(width / 2, 0.71)  # a line of any width leaves no gaps
    ends = np.concatenate([points[:1], points]) if len(points) == 1 else points
    rows, columns = canvas.shape
    for (ax, ay), (bx, by) in pairwise(ends):
        x0, x1 = (int(np.clip(v, 0, columns)) for v in (min(ax, bx) - reach, max(ax, bx) + reach + 1))
        y0, y1 = (int(np.clip(v, 0, rows)) for v in (min(ay, by) - reach, max(ay, by) + reach + 1))
        x, y = np.arange(x0, x1) - ax, (np.arange(y0, y1) - ay)[:, None]
        dx, dy = bx - ax, by - ay
        along = np.clip((x * dx + y * dy) / max(dx * dx + dy * dy, 1e-12), 0, 1)
        near = (x - along * dx) ** 2 + (y - along * dy) ** 2 <= reach * reach
        canvas[y0:y1, x0:x1][near] = value
