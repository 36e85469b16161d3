"""The Markdown report of masked_attention: that of layers, beside all that torch has."""

from __future__ import annotations

from typing import Any

import layer_report

__all__ = ["markdown"]


def markdown(document: dict[str, Any]) -> str:
    """The whole report; all of it comes from the document."""
    return layer_report.markdown(document, "torch's fastest", "nothing is kept between calls.")
