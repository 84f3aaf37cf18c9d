"""Parses the quantities of a suite (``2%``, ``20s``, ``0.5pt``), and formats durations (``4 m 02 s``)."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_NUMBER = r"([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)"


def parse_seconds(value: Any) -> Any:
    """Parse ``20s``, ``500ms``, ``2m`` or a number of seconds into seconds. Raises ValueError."""
    if isinstance(value, str):
        match = re.fullmatch(rf"{_NUMBER}\s*({'|'.join(_SECONDS)})", value.strip())
        if match is None:
            raise ValueError(f"{value!r} is not a duration; write for example 500ms, 20s or 2m")
        return float(match[1]) * _SECONDS[match[2]]
    return value


def parse_bytes(text: str) -> float:
    """Parse ``10GB`` into bytes. Raises ValueError."""
    match = re.fullmatch(rf"{_NUMBER}\s*({'|'.join(_BYTES)})", text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size; write for example 500MB or 10GB")
    return float(match[1]) * _BYTES[match[2]]


def parse_share(value: Any) -> Any:
    """Parse ``2%`` or a number from 0 to 1 into a share. Raises ValueError."""
    if isinstance(value, str):
        match = re.fullmatch(rf"{_NUMBER}\s*%", value.strip())
        if match is None:
            raise ValueError(f"{value!r} is not a share; write for example 2% or 0.02")
        return float(match[1]) / 100.0
    return value


def parse_points(value: Any) -> Any:
    """Parse ``0.5pt`` (percentage points) or a number in the metric's unit. Raises ValueError."""
    if isinstance(value, str):
        match = re.fullmatch(rf"{_NUMBER}\s*(?:pt)?", value.strip())
        if match is None:
            raise ValueError(f"{value!r} is not a quality loss; write for example 0.5pt")
        return float(match[1])
    return value


_FINITE = Field(allow_inf_nan=False)


def _or_text(schema: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [schema, {"type": "string"}]})


Seconds = Annotated[
    float, _FINITE, BeforeValidator(parse_seconds), _or_text({"type": "number", "minimum": 0})
]
Share = Annotated[float, _FINITE, BeforeValidator(parse_share), _or_text({"type": "number"})]
Points = Annotated[float, _FINITE, BeforeValidator(parse_points), _or_text({"type": "number"})]

POINTS = "pt"
"""Unit of metrics that score each sample 0 or 1: differences of their means are in percentage points."""


def say_count(number: int, noun: str) -> str:
    """Format a number of things: 1 → ``1 Cell``, 2000 → ``2,000 Cells``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def say_seconds(seconds: float) -> str:
    """Format a duration: 3.2 → ``3.2 s``, 242 → ``4 m 02 s``, 3700 → ``1 h 02 m``."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} m {rest:02d} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} m"
