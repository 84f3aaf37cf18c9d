"""Recorded keys and values as readable names and texts. The ending of a key gives the unit.

The whole project uses the same endings (`_s`, `_bytes`, `_share` …). A new key of a technique needs no edit
here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from harness.analysis.words import numbers as say

Properties = list[tuple[str, str]]
"""Names and texts."""

MAX_LISTED = 24
"""Members of a list that are shown; a longer list also says how many more there are."""
MAX_TEXT = 120

_NAMES = {
    "ci": "CI",
    "cpu": "CPU",
    "db": "dB",
    "flop": "FLOP",
    "flops": "FLOPs",
    "gpu": "GPU",
    "gpus": "GPUs",
    "id": "id",
    "isa": "instruction sets",
    "os": "operating system",
    "pss": "PSS",
    "qdq": "quantize and dequantize",
    "rss": "resident memory",
    "smt": "SMT",
    "sqnr": "SQNR",
    "uuid": "UUID",
}
"""Words of keys and how they are written."""


def _with(unit: str) -> Callable[[Any], str]:
    return lambda value: f"{number(value)} {unit}"


def _of(kind: str, per: str = "") -> Callable[[Any], str]:
    return lambda value: f"{say.quantity(value, kind)}{per}"


# Ending of a key, what replaces it in the name, and how the number is written. The first match counts.
_ENDINGS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("_samples_per_s", "", _of("samples/s")),
    ("_tokens_per_s", "", _of("tokens/s")),
    ("_flop_per_s", "", _of("FLOP/s")),
    ("_bytes_per_s", "", _of("bytes", "/s")),
    ("_per_s", "", _with("per second")),
    ("_bytes_per_sample", " per sample", _of("bytes")),
    ("flops_per_sample", "FLOPs per sample", _of("FLOP")),
    ("_bytes", "", _of("bytes")),
    ("_gib", "", _with("GiB")),
    ("_share", "", say.percent),
    ("_by_type", " by type", say.percent),
    ("_db", "", _with("dB")),
    ("_ns", " time", lambda value: say.quantity(value / 1e9, "s")),
    ("_s", " time", _of("s")),
    ("seconds", "time", _of("s")),
)


def properties(given: Mapping[str, Any], *, named: bool = False) -> Properties:
    """Return the name and text of each value in `given` that is not empty.

    The keys of a mapping inside `given` are put into words too (settings of a step). With `named` they stay
    as they are: names of operators, layers, dtypes, libraries.
    """
    found = ((key_in_words(str(key)), value_in_words(str(key), value, named)) for key, value in given.items())
    return [(name, text) for name, text in found if text]


def key_in_words(key: str) -> str:
    """Put a key into words, without its unit: build_s → build time; flops_left_share → FLOPs left."""
    for ending, left, _ in _ENDINGS:
        if key.endswith(ending):
            key = key.removesuffix(ending) + ("" if key.endswith(f"_time{ending}") else left)
            break
    words = key.replace("_", " ").split()
    return " ".join(_NAMES.get(word, word) for word in words)


def value_in_words(key: str, value: Any, named: bool = False) -> str:
    """Write a value with the unit of its key; the text is empty if the value is empty or unknown."""
    if isinstance(value, Mapping):
        parts = (
            (str(k), value_in_words(key if named else _inner(key, str(k)), part, named))
            for k, part in value.items()
        )
        return _listed(f"{k if named else key_in_words(k)} {text}" for k, text in parts if text)
    if isinstance(value, list | tuple):
        return _listed(text for part in value if (text := value_in_words(key, part, named)))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "infinite"
    if isinstance(value, int | float):
        write = next((write for ending, _, write in _ENDINGS if key.endswith(ending)), number)
        return write(value)
    return "" if value is None else say.short(value, MAX_TEXT)


def number(value: float) -> str:
    """Write a number without a unit: 16000 → 16,000; 0.5 → 0.5; 1e-05 stays."""
    if isinstance(value, int) or (abs(value) >= 1e4 and value.is_integer()):
        return f"{int(value):,}".replace("-", say.MINUS)
    return f"{value:.4g}" if abs(value) < 1e-4 else f"{value:.4g}".replace("-", say.MINUS)


def _inner(key: str, own: str) -> str:
    """Return the key that gives the unit inside a mapping: its own if it has a unit, else the mapping's."""
    return own if any(own.endswith(ending) for ending, _, _ in _ENDINGS) else key


def _listed(texts: Iterator[str]) -> str:
    known = list(texts)
    more = f" and {len(known) - MAX_LISTED} more" if len(known) > MAX_LISTED else ""
    return ", ".join(known[:MAX_LISTED]) + more
