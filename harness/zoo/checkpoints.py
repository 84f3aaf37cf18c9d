"""Checkpoints on disk: safetensors weights, and a JSON card with their SHA-256 and their origin.

Needs numpy and safetensors, not torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import DataError
from harness.files import replace_file
from harness.formats.tensors import Array

FOLDER = "checkpoints"


def place(name: str, suites_root: Path) -> Path:
    """Return the path of the checkpoint of the zoo model `name`, whether or not it exists."""
    return suites_root / FOLDER / f"{name}.safetensors"


def card_path(path: Path) -> Path:
    """Return the path of the card of the checkpoint `path`."""
    return path.with_suffix(".json")


def read(path: Path) -> tuple[bytes, dict[str, Any]]:
    """Return the content and the card of the checkpoint `path`, after comparing their SHA-256.

    Raises DataError, with the file and the sums expected and found, when either is missing, unreadable or
    damaged.
    """
    card = _read_card(path)
    expected = card["sha256"]
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing (sha256 {expected}): {_remedy(path)}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): {_remedy(path)}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise DataError(f"{path} has sha256 {found} instead of {expected}: {_remedy(path)}")
    return content, card


def load_weights(path: Path) -> dict[str, Array]:
    """Return the tensors of the checkpoint `path` by name, after verifying it. Raises DataError."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    content, _ = read(path)
    try:
        tensors: dict[str, Array] = load(content)
    except (SafetensorError, KeyError, ValueError) as error:
        raise DataError(f"{path} is not a safetensors file ({error}): {_remedy(path)}") from error
    return tensors


def save(path: Path, tensors: Mapping[str, Array], statistics: Mapping[str, Any]) -> dict[str, Any]:
    """Write `tensors` to `path`, and a card of `statistics`, `sha256` and `bytes`; return the card.

    Each file is written whole or not at all. A crash between the two leaves a card that does not match, which
    `read` reports. Raises DataError when the folder cannot be written.
    """
    from safetensors.numpy import save as serialize

    content = serialize({name: tensors[name] for name in sorted(tensors)})
    card = {**statistics, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    _write_atomic(path, content)
    _write_atomic(card_path(path), (json.dumps(card, indent=2) + "\n").encode())
    return card


def _read_card(path: Path) -> dict[str, Any]:
    """Read the card of `path`; it must be a JSON object with a SHA-256."""
    file = card_path(path)
    try:
        card = json.loads(file.read_bytes())
    except FileNotFoundError as error:
        raise DataError(f"{file}, the card of {path.name}, is missing: {_remedy(path)}") from error
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror}): {_remedy(path)}") from error
    except ValueError as error:
        raise DataError(f"{file} is not JSON ({error}): {_remedy(path)}") from error
    if not isinstance(card, dict) or not isinstance(card.get("sha256"), str):
        raise DataError(f"{file} has no sha256 of {path.name}: {_remedy(path)}")
    return card


def _remedy(path: Path) -> str:
    return f"`harness train {path.stem}` creates it"


def _write_atomic(path: Path, content: bytes) -> None:
    """Make the folder of `path`, and write it whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from error
