"""Turns pydantic's errors into Problems: the place in the file, what was found, what is allowed."""

from __future__ import annotations

import json
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from harness.errors import Problem, unknown
from harness.suite.loading import Document, Key

M = TypeVar("M", bound=BaseModel)

_ALLOWED = {
    "literal_error": "{expected}",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "too_short": "at least {min_length} item",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "{ge:.12g} or more",
    "less_than": "less than {lt:g}",
    "less_than_equal": "{le:.12g} or less",
}
_RENAMED: dict[Key, str] = {
    ("measure", "precision"): "target_ci",
    ("measure", "roof_time"): "peak_time",
    ("prune", "sparsity"): "pruning_ratio",
}
"""New names of keys that older suites use, by the mapping that they are in."""


def checked(document: Document, key: Key, model: type[M], fields: Any, problems: list[Problem]) -> M | None:
    """Validate the value at `key` and return it, or add one Problem for each fault and return None.

    It is validated as strict JSON: ``true`` and ``"8"`` are not numbers, and a list is accepted for a tuple.
    """
    try:
        return model.model_validate_json(json.dumps(fields, default=str), strict=True)
    except ValidationError as error:
        problems += _validation_problems(document, key, error, model)
        return None


def _validation_problems(
    document: Document, key: Key, error: ValidationError, model: type[BaseModel]
) -> list[Problem]:
    """Return one Problem for each fault; `key` is the place of `model`'s value in the document."""
    faults: dict[Key, list[Any]] = {}
    messages: dict[Key, list[str]] = {}
    for fault in error.errors(include_url=False):
        where, inner = _place(document, key, fault)
        if fault["type"] == "missing" and _has_old_name(document, where):
            continue
        messages.setdefault(where, [])
        if fault["type"] in _ALLOWED:
            faults.setdefault(where, []).append(fault)
        else:
            messages[where].append(_message(fault, where, _owner(model, inner[:-1])))
    for where, alternatives in faults.items():  # several for a union: one for each member
        if not any(len(below) > len(where) and below[: len(where)] == where for below in messages):
            messages[where].append(_allowed(document.at(where), alternatives))
    return [document.problem(where, text) for where, texts in messages.items() for text in texts]


def _allowed(found: Any, alternatives: list[Any]) -> str:
    allowed = dict.fromkeys(
        _ALLOWED[fault["type"]].format_map(fault.get("ctx", {})) for fault in alternatives
    )
    quotes = "text" in allowed and isinstance(found, int | float)
    hint = "; write it in quotes if it is a name" if quotes else ""
    return f"found {short(found)}; allowed: {', or '.join(allowed)}{hint}"


def _message(fault: Any, where: Key, owner: type[BaseModel]) -> str:
    match fault["type"]:
        case "extra_forbidden":
            new = _RENAMED.get(where[-2:])
            if new in owner.model_fields:
                return f"is called {new} now"
            return unknown("key", str(where[-1]), owner.model_fields)
        case "missing":
            return "is missing"
        case "value_error":
            return str(fault["ctx"]["error"])
        case _:
            text = fault["msg"][0].lower() + fault["msg"][1:]
            return f"{text}; found {short(fault.get('input'))}"


def _has_old_name(document: Document, where: Key) -> bool:
    """Whether a key that is missing is there under its old name, which is a Problem of its own."""
    siblings = document.at(where[:-1]) or ()
    return any(new == where[-1] and old in siblings for (_, old), new in _RENAMED.items())


def short(value: Any) -> str:
    """Return a value as a message shows it, cut to 60 characters; null is ``nothing``."""
    text = "nothing" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _place(document: Document, key: Key, fault: Any) -> tuple[Key, Key]:
    """Return the path of a fault in the document, and in pydantic's models.

    Pydantic's path also names the member of a union, which is left out here. Where a validator turned a
    mapping into a list, pydantic has an index, and the document has a name.
    """
    where, inner = list(key), []
    value = document.at(key)
    for i, part in enumerate(fault["loc"]):
        missing = fault["type"] == "missing" and i == len(fault["loc"]) - 1
        if isinstance(part, str) and not missing and not (isinstance(value, dict) and part in value):
            continue
        inner.append(part)
        name = list(value)[part] if isinstance(part, int) and isinstance(value, dict) else part
        where.append(name)
        value = None if missing else value[name]
    return tuple(where), tuple(inner)


def _owner(model: type[BaseModel], path: Key) -> type[BaseModel]:
    """Return the model class that validates the value at `path` below `model`."""
    for part in path:
        if part in model.model_fields:  # others are an index, or a name in a mapping
            model = _model_in(model.model_fields[str(part)].annotation) or model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the first model class in a type such as ``dict[str, Hardware] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
