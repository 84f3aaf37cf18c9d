"""Pydantic's errors as Problems: where in the file, what was found, what is allowed, the nearest name."""

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
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "{ge:.12g} or more",
    "less_than": "less than {lt:g}",
    "less_than_equal": "{le:.12g} or less",
}


def checked(document: Document, key: Key, model: type[M], fields: Any, problems: list[Problem]) -> M | None:
    """Validate the value at `key`: one Problem for each fault, None when there are any.

    It is read as JSON and strictly: ``true`` is no number, ``"8"`` neither, and a list will do for a tuple.
    """
    try:
        return model.model_validate_json(json.dumps(fields, default=str), strict=True)
    except ValidationError as error:
        problems += validation_problems(document, key, error, model)
        return None


def validation_problems(
    document: Document, key: Key, error: ValidationError, model: type[BaseModel]
) -> list[Problem]:
    """One Problem for each fault; `key` is where `model`'s value stands in the document."""
    faults: dict[Key, list[Any]] = {}
    messages: dict[Key, list[str]] = {}
    for fault in error.errors(include_url=False):
        where, inner = _place(document, key, fault)
        texts = messages.setdefault(where, [])
        if fault["type"] in _ALLOWED:  # the members of a union each have their own fault
            faults.setdefault(where, []).append(fault)
        else:
            texts.append(_message(fault, inner, model))
    for where, alternatives in faults.items():
        allowed = dict.fromkeys(_ALLOWED[f["type"]].format_map(f.get("ctx", {})) for f in alternatives)
        messages[where].append(f"found {_short(document.at(where))}; allowed: {', or '.join(allowed)}")
    return [document.problem(where, text) for where, texts in messages.items() for text in texts]


def _message(fault: Any, inner: Key, model: type[BaseModel]) -> str:
    match fault["type"]:
        case "extra_forbidden":
            owner = _owner(model, inner[:-1])
            return unknown("key", str(inner[-1]), owner.model_fields if owner else ())
        case "missing":
            return "is missing"
        case "value_error":
            return str(fault["ctx"]["error"])
        case _:
            text = fault["msg"][0].lower() + fault["msg"][1:]
            return f"{text}; found {_short(fault.get('input'))}"


def _short(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _place(document: Document, key: Key, fault: Any) -> tuple[Key, Key]:
    """Return a fault's place in the document, and as pydantic's models see it.

    Pydantic also names the tried member of a union, which a reader has no use for; and a list that a
    validator made of a mapping is counted, where the file has names.
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


def _owner(model: type[BaseModel], path: Key) -> type[BaseModel] | None:
    """Return the model class that the value at `path` below `model` is checked by."""
    owner: Any = model
    for part in path:
        if _is_model(owner):
            owner = owner.model_fields[str(part)].annotation if part in owner.model_fields else None
        else:  # an item of a list or a mapping
            owner = next((a for a in reversed(get_args(owner)) if a is not Ellipsis), None)
        owner = _only_model(owner)
    return owner if _is_model(owner) else None


def _only_model(annotation: Any) -> Any:
    """Of a union, the member that is a model or holds some; ``Annotated`` is taken off."""
    while get_args(annotation) and getattr(annotation, "__origin__", None) not in (list, dict, tuple):
        annotation = next((a for a in get_args(annotation) if _holds_model(a)), None)
    return annotation


def _holds_model(annotation: Any) -> bool:
    return _is_model(annotation) or any(_holds_model(a) for a in get_args(annotation))


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
