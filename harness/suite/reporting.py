"""Pydantic's errors as Problems: where in the file, what was found, what is allowed, the nearest name."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from harness.errors import Problem, unknown
from harness.suite.loading import Document, Key


def validation_problems(
    document: Document, key: Key, error: ValidationError, model: type[BaseModel]
) -> list[Problem]:
    """One Problem for each fault; `key` is where `model`'s value stands in the document."""
    problems, seen = [], set()
    for fault in error.errors(include_url=False):
        inner = tuple(part for part in fault["loc"] if not _is_union_member(part))
        where = (*key, *inner)
        message = _message(fault, inner, model)
        if (where, message) not in seen:
            seen.add((where, message))
            problems.append(document.problem(where, message))
    return problems


def _message(fault: Any, inner: Key, model: type[BaseModel]) -> str:
    found = fault.get("input")
    match fault["type"]:
        case "extra_forbidden":
            owner = _owner(model, inner[:-1])
            return unknown("key", str(inner[-1]), owner.model_fields if owner else ())
        case "missing":
            return "is missing"
        case "literal_error":
            return f"found {found!r}; allowed: {fault['ctx']['expected']}"
        case "value_error":
            return str(fault["ctx"]["error"])
        case _:
            text = fault["msg"][0].lower() + fault["msg"][1:]
            return f"{text}; found {_short(found)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _is_union_member(part: Any) -> bool:
    """Pydantic puts the tried member of a union into the location; a reader has no use for it."""
    return isinstance(part, str) and (
        part in ("int", "str", "float", "bool", "list[str]")
        or part.startswith(("literal[", "function-", "tuple["))
    )


def _owner(model: type[BaseModel], path: Key) -> type[BaseModel] | None:
    """Return the model class that the value at `path` below `model` is checked by."""
    owner: Any = model
    for part in path:
        if isinstance(owner, type) and issubclass(owner, BaseModel) and part in owner.model_fields:
            owner = owner.model_fields[str(part)].annotation
        else:  # an item of a list or a mapping
            owner = next((a for a in reversed(get_args(owner))), None)
        while not isinstance(owner, type) and get_args(owner) and not _is_collection(owner):
            owner = next(
                (a for a in get_args(owner) if isinstance(a, type) and issubclass(a, BaseModel)), None
            )
    return owner if isinstance(owner, type) and issubclass(owner, BaseModel) else None


def _is_collection(annotation: Any) -> bool:
    return getattr(annotation, "__origin__", None) in (list, dict, tuple)
