"""Argument checks in the user's words: an error states the rule and the value."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any


def integer(op: str, name: str, value: Any, low: int, high: int | None = None) -> int:
    """``value`` as an int in [low, high]. TypeError or ValueError otherwise."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{op}: {name} must be an integer, got {value!r}") from None
    if number < low or (high is not None and number > high):
        rule = f">= {low}" if high is None else f"{low} .. {high}"
        raise ValueError(f"{op}: {name} must be {rule}, got {number}")
    return number


def real(op: str, name: str, value: Any) -> float:
    """``value`` as a float. TypeError where it is not a real number, ValueError where it is NaN."""
    try:
        if isinstance(value, (str, bytes, bool)):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{op}: {name} must be a number, got {value!r}") from None
    except OverflowError:  # an integer beyond any float
        number = math.inf if value > 0 else -math.inf
    if number != number:  # NaN; math.isnan would break torch.compile(dynamic=True)
        raise ValueError(f"{op}: {name} must be a number, got nan")
    return number


def flag(op: str, name: str, value: Any) -> bool:
    """``value`` as a bool; 0 and 1 and NumPy's bools are fine, anything else is a TypeError."""
    if isinstance(value, bool) or (type(value).__name__ in {"bool", "bool_"}):
        return bool(value)
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    raise TypeError(f"{op}: {name} must be True or False, got {value!r}")


def per_axis(op: str, name: str, value: float | Sequence[float], dims: int, missing: float) -> list[float]:
    """One number for all ``dims`` axes, or one each; as three values (z, y, x), ``missing`` for an absent z."""
    if isinstance(value, (str, bytes)):
        raise TypeError(f"{op}: {name} must be a number or {dims} numbers, got {value!r}")
    scalar = not hasattr(value, "__iter__") or getattr(value, "ndim", 1) == 0
    values = [real(op, name, value)] * dims if scalar else [real(op, name, v) for v in value]  # type: ignore[union-attr]
    if len(values) != dims:
        raise ValueError(f"{op}: {name} must be a number or {dims} numbers, one an axis, got {len(values)}")
    return [missing] * (3 - dims) + values
