"""The suite file that `harness try` writes: what it says, and when a file that is there stays as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.artifacts.cache import digest
from harness.errors import HarnessError, first_line
from harness.files import replace_file
from harness.try_model.candidates import Candidate, Goal

MARK = "# harness try: "
"""Begins the last line. Digests of the model's section and of the lines above follow, by which the file is
recognized, and whether it was edited."""
MEASURE = {
    "target_ci": "2%",
    "max_time": "4s",
    "block_time": "80ms",
    "warmup_time": "200ms",
    "peak_time": 0,
}
"""No peaks of the machine: measuring them takes longer than all else where cores are few."""
QUALITY = {"samples": 1000, "batch": 32}
"""Of the evaluation: enough samples for an interval of about half a point, and in batches, since each Cell's
evaluation is part of the first Trial."""


@dataclass(frozen=True)
class Wanted:
    """What the user asked for. `argument` is the model as named, `section` its section of the suite."""

    argument: str
    name: str
    section: Mapping[str, Any]
    goal: Goal
    batch: int
    max_drop: str


def name_of(argument: str, folder: Path) -> str:
    """Return a model's short name, which can name a file: models/net.onnx → net; nets:tiny → nets-tiny."""
    path = folder / argument
    plain = argument if not path.exists() else path.resolve().stem if path.is_file() else path.resolve().name
    plain = plain.rstrip("/").rpartition("/")[2].removesuffix(".py")
    safe = re.sub(r"[\\/:\x00-\x1f]+", "-", plain.replace(".py:", ":")).strip(" .-")
    return safe.encode()[:100].decode(errors="ignore") or "model"


def suite_text(
    wanted: Wanted, candidates: Iterable[Candidate], baseline: str, left_out: Mapping[str, str] | None = None
) -> str:
    """Return the whole file, its mark included."""
    goal = wanted.goal
    tried = [*candidates]
    lines = [
        f"# Written by: harness try {_line(wanted.argument)}",
        "# Edit it as you like: `harness try` then uses it as it is, and so does `harness run`.",
        f"suite: {_flow(f'try-{wanted.name}')}",
        "",
        "models:",
        f"  {_flow(wanted.name)}: {_flow(dict(wanted.section))}",
        "",
        "workloads:",
        f"  {goal.name}: {_flow({'scenario': goal.scenario, 'batch': wanted.batch})}  # {goal.meaning}",
        "",
        "# The cheapest to build come first: where the time is short, the last are given up.",
        "techniques:",
        *(f"  {one.name}: {_flow(list(one.steps))}  # {one.about}" for one in tried),
        *([] if not left_out else ["# Left out on this machine:"]),
        *(f"#   {name}: {_line(reason)}" for name, reason in (left_out or {}).items()),
        "",
        "# The model as it is; the others are compared with it.",
        f"baseline: {baseline}",
        "",
        f"quality: {_flow({'max_drop': wanted.max_drop, **QUALITY})}",
        "",
        f"measure: {_flow(MEASURE)}",
    ]
    text = "\n".join(lines) + "\n"
    return f"{text}{MARK}{digest(dict(wanted.section))} {digest(text)}\n"


def place_suite(path: Path, text: str) -> str:
    """Write the suite file, or leave the one that is there; return which: new, same, changed or edited.

    A file that `harness try` wrote for other options, and that nobody edited, is ``changed``. Raises
    HarnessError for a file of another origin or for another model, and where the folder cannot be written.
    """
    try:
        there = path.read_text(encoding="utf-8") if path.exists() else None
    except (OSError, UnicodeDecodeError) as error:
        raise HarnessError(
            f"{path} cannot be read: {first_line(error)}; name another file with --suite"
        ) from error
    if there == text:
        return "same"
    state = "new"
    if there is not None:
        model, content, above = _marks(there)
        if not model:
            raise HarnessError(f"{path} is not a file of `harness try`; name another one with --suite")
        edited = content != digest(above)
        if edited and model != _marks(text)[0]:
            raise HarnessError(f"{path} was edited for another model; name another file with --suite")
        if edited:
            return "edited"
        state = "changed"
    try:
        replace_file(path, text.encode())
    except OSError as error:
        why = error.strerror or error
        raise HarnessError(
            f"{path} cannot be written: {why}; start in another folder, or name a file with --suite"
        ) from error
    return state


def _marks(text: str) -> tuple[str, str, str]:
    """Return the digests of model and content, and the lines that the latter is of; empty for none."""
    above, mark, rest = text.rpartition(MARK)
    parts = rest.split()
    return (parts[0], parts[1], above) if mark and len(parts) == 2 else ("", "", text)


def _flow(value: Any) -> str:
    """Return a value as YAML on one line."""
    if isinstance(value, str):
        plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", value) and value.lower() not in _WORDS
        return value if plain else json.dumps(value, ensure_ascii=False)
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**9, allow_unicode=True)
    return text.strip()


_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


def _line(text: str) -> str:
    return " ".join(text.split())
