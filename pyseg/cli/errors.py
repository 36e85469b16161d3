"""The one exception by which a command says that an argument is wrong."""

from __future__ import annotations

import math

__all__ = ["Refused", "at_least"]


class Refused(Exception):
    """An argument breaks a rule. The message says the rule and the value; it is printed and the exit code is 2."""


def at_least(option: str, value: float | None, low: float, *, above: bool = False) -> None:
    """Refuse a value below ``low`` (or at it, if ``above``), infinite or NaN. None is an option that was not given."""
    if value is None or (math.isfinite(value) and (value > low or (value == low and not above))):
        return
    raise Refused(f"{option} must be {'above' if above else 'at least'} {low:g}, got {value:g}")
