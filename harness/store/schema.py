"""What is derived from the table classes of `record.py`: columns, Arrow schemas and their documentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from types import NoneType
from typing import Any, Literal, get_args, get_type_hints

from harness.store.record import Block, Call, Json, Record, Score

SCHEMA_VERSION = 2

TABLES: dict[str, type] = {"cells": Record, "blocks": Block, "calls": Call, "scores": Score}
"""The Run's tables by file name (`cells.parquet`), each with the class of its rows."""

Kind = Literal["str", "int", "float", "bool", "json", "strs"]
_KINDS: dict[Any, Kind] = {
    str: "str",
    int: "int",
    float: "float",
    bool: "bool",
    Json: "json",
    list[str]: "strs",
}


@dataclass(frozen=True)
class Column:
    """One column. `kind` is its type: ``json`` is a JSON text, ``strs`` a list of strings.

    `required`: a table without it is damaged.
    """

    name: str
    kind: Kind
    unit: str
    meaning: str
    required: bool


@cache
def columns(table: type) -> tuple[Column, ...]:
    """Return the columns of a table class, in order."""
    hints = get_type_hints(table, include_extras=True)
    return tuple(
        Column(
            each.name,
            _kind(hints[each.name]),
            each.metadata["unit"],
            each.metadata["meaning"],
            each.default is MISSING and each.default_factory is MISSING,
        )
        for each in fields(table)
    )


def _kind(hint: Any) -> Kind:
    """Return the kind of an annotation, None aside."""
    if hint not in _KINDS:
        (hint,) = (part for part in get_args(hint) if part is not NoneType)
    return _KINDS[hint]


def arrow_schema(table: type) -> Any:
    """Return the pyarrow schema of a table class, with unit and meaning as field metadata."""
    import pyarrow as pa

    kinds = {
        "str": pa.string(),
        "json": pa.string(),
        "strs": pa.list_(pa.string()),
        "int": pa.int64(),
        "float": pa.float64(),
        "bool": pa.bool_(),
    }
    return pa.schema(
        [
            pa.field(c.name, kinds[c.kind], metadata={"meaning": c.meaning, "unit": c.unit})
            for c in columns(table)
        ]
    )


def values(row: object) -> dict[str, Any]:
    """Return the row of a table, an instance of its class, as a dict."""
    return dict(vars(row))


def record_of(found: Mapping[str, Any]) -> Record:
    """Make a Record of a mapping: names that no column has are ignored, missing lists are empty.

    Raises TypeError when a required column is missing.
    """
    known: dict[str, Any] = {c.name: found[c.name] for c in columns(Record) if c.name in found}
    lists: dict[str, list[str]] = {
        c.name: [] for c in columns(Record) if c.kind == "strs" and known.get(c.name) is None
    }
    return Record(**(known | lists))


def documentation() -> str:
    """Return what docs/run-format.md says of all tables, between its markers."""
    parts = []
    for name, table in TABLES.items():
        rows = [f"| `{c.name}` | {c.kind} | {c.unit} | {c.meaning} |" for c in columns(table)]
        head = [f"### `{name}.parquet`", "", "| column | type | unit | meaning |", "|---|---|---|---|"]
        parts.append("\n".join([*head, *rows]))
    return "\n\n".join(parts)
