"""The superpixel methods that ``pyseg compare`` sets side by side, each asked for about the same number.

slic and turbopixels take a number. felzenszwalb and quickshift take a parameter that the number falls with, which is
found by bisection of its logarithm, on rounded values, so that what is reported gives what is shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Method", "Prepared", "Search", "count", "prepare", "search"]

Labels = NDArray[np.int32]

CLOSE = 0.02  # of the number asked for: a search ends there
STEPS = 14  # calls of a search at most
FARTHEST = 1000.0  # quickshift's max_dist: longer than any link
WIDEST = 20.0  # its kernel_size, whose square its time grows with


class Method(str, Enum):
    """In the order in which they are shown."""

    SLIC = "slic"
    FELZENSZWALB = "felzenszwalb"
    QUICKSHIFT = "quickshift"
    TURBOPIXELS = "turbopixels"


@dataclass(frozen=True)
class Prepared:
    """A method with its arguments: what to call, and how to say it."""

    call: Callable[[], Labels]
    parameters: dict[str, float]
    calls: int  # of the search


@dataclass(frozen=True)
class Search:
    """What a search found: the value whose count is nearest, that count, and how many calls it took."""

    value: float
    count: int
    calls: int


def prepare(method: Method, image: NDArray[np.uint8], segments: int) -> Prepared:
    """The method's call on ``image``, uint8 [H, W, 3], for about ``segments`` superpixels.

    Raises whatever the method raises on this image.
    """
    import pyseg

    function: Callable[..., Labels] = getattr(pyseg, method.value)
    if method is Method.FELZENSZWALB:
        return _felzenszwalb(function, image, segments)
    if method is Method.QUICKSHIFT:
        return _quickshift(function, image, segments)
    return Prepared(lambda: function(image, n_segments=segments), {"n_segments": segments}, 0)


def count(labels: NDArray[Any]) -> int:
    """How many labels there are."""
    return int(np.unique(labels).size)


def search(tried: Callable[[float], int], target: int, start: float, low: float, high: float) -> Search:
    """The value in [low, high] whose ``tried`` is nearest to ``target``, among rounded values.

    Args:
        tried: the count at a value; it must fall, more or less, as the value rises.
        start: the first value; from there steps of 4 until the target lies between two values, then bisection.

    Returns:
        The best value seen: within 2 % of ``target``, or the best of 14, or that at an end of the range.
    """
    best = Search(start, tried(start), 1)
    many = few = None  # values with more and with fewer than the target
    value, found = start, best.count
    while abs(best.count - target) > CLOSE * target and best.calls < STEPS:
        if found > target:
            many = value
        else:
            few = value
        if few is None:
            value = min(4 * value, high)
        elif many is None:
            value = max(value / 4, low)
        else:
            value = math.sqrt(many * few)
        value = float(f"{value:.3g}")
        if value in (many, few):
            break
        found = tried(value)
        nearer = abs(found - target) < abs(best.count - target)
        best = Search(value if nearer else best.value, found if nearer else best.count, best.calls + 1)
    return best


def _felzenszwalb(function: Callable[..., Labels], image: NDArray[np.uint8], segments: int) -> Prepared:
    # A least size near the mean would decide the number, whatever the scale; 20 is the function's own.
    height, width = image.shape[:2]
    min_size = max(1, min(20, height * width // (4 * segments)))

    def call(scale: float) -> Labels:
        return function(image, scale=scale, min_size=min_size)

    found = search(lambda scale: count(call(scale)), segments, start=100.0, low=1e-3, high=1e7)
    return Prepared(lambda: call(found.value), {"scale": found.value, "min_size": min_size}, found.calls)


def _quickshift(function: Callable[..., Labels], image: NDArray[np.uint8], segments: int) -> Prepared:
    def tried(max_dist: float) -> int:
        return count(function(image, kernel_size=kernel_size, max_dist=max_dist))

    # Links are looked for within a few kernel_size: if that leaves too many even without a limit, it must grow.
    kernel_size, calls = 5.0, 1
    while (fewest := tried(FARTHEST)) > (1 + CLOSE) * segments and kernel_size < WIDEST:
        kernel_size = min(WIDEST, float(f"{kernel_size * max(1.2, math.sqrt(fewest / segments)):.2g}"))
        calls += 1
    found = search(tried, segments, start=10.0, low=0.01, high=FARTHEST)
    parameters = {"max_dist": found.value, "kernel_size": kernel_size}
    return Prepared(lambda: function(image, **parameters), parameters, calls + found.calls)
