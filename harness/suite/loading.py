"""A suite file as data, each value's file and line remembered; `extends` is merged, twins are refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from harness.errors import Problem, SuiteError

Key = tuple[str | int, ...]
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass
class Document:
    """Parsed YAML: `data`, and for each path in it the file and line (from 1) where it stands."""

    path: Path
    text: str
    data: dict[str, Any]
    places: dict[Key, tuple[str, int]] = field(default_factory=dict)

    def problem(self, key: Key, message: str) -> Problem:
        """Make a Problem at `key`, or at the nearest place above it that the file has."""
        at = key
        while at and at not in self.places:
            at = at[:-1]
        file, line = self.places.get(at, (self.path.name, None))
        return Problem(file, line, spell(key), message)


def spell(key: Key) -> str:
    """('techniques', 'int8', 0, 'quantize') → ``techniques.int8[0].quantize``."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def read_document(path: Path, _seen: tuple[Path, ...] = ()) -> Document:
    """Read a suite file and what it extends. Raises SuiteError with every problem found."""
    if path.resolve() in _seen:
        raise SuiteError([Problem(path.name, None, "extends", "a suite cannot extend itself")])
    document = _parse(path)
    bases = document.data.pop("extends", [])
    names = [bases] if isinstance(bases, str) else bases
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise SuiteError([document.problem(("extends",), "takes a file name or a list of file names")])
    for name in reversed(names):
        base_path = path.parent / name
        if not base_path.is_file():
            raise SuiteError([document.problem(("extends",), f"no such file: {name}")])
        base = read_document(base_path, (*_seen, path.resolve()))
        document.data = _merge(base.data, document.data)
        document.places = {**base.places, **document.places}
    return document


def _parse(path: Path) -> Document:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise SuiteError([Problem(str(path), None, "", "no such suite file")]) from error
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError([Problem(str(path), None, "", f"cannot be read: {error}")]) from error
    document = Document(path, text, {})
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or str(error)
        line = mark.line + 1 if mark else None
        raise SuiteError([Problem(path.name, line, "", f"is not valid YAML: {what}")]) from error
    if not isinstance(node, yaml.MappingNode):
        raise SuiteError([Problem(path.name, 1, "", "is no suite: it must be a mapping with the key suite")])
    problems: list[Problem] = []
    document.data = _construct(node, (), document, problems)
    if problems:
        raise SuiteError(problems)
    return document


def _construct(node: yaml.Node, key: Key, document: Document, problems: list[Problem]) -> Any:
    document.places[key] = (document.path.name, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for name_node, value_node in node.value:
            name = str(getattr(name_node, "value", ""))
            inner = (*key, name)
            line = name_node.start_mark.line + 1
            if not isinstance(name_node, yaml.ScalarNode):
                problems.append(Problem(document.path.name, line, spell(key), "a key must be plain text"))
                continue
            if name in mapping:
                problems.append(Problem(document.path.name, line, spell(inner), "stands twice"))
            mapping[name] = _construct(value_node, inner, document, problems)
            document.places[inner] = (document.path.name, line)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_construct(item, (*key, i), document, problems) for i, item in enumerate(node.value)]
    try:
        return yaml.SafeLoader("").construct_object(node)
    except yaml.YAMLError as error:
        line = node.start_mark.line + 1
        message = getattr(error, "problem", None) or str(error)
        problems.append(Problem(document.path.name, line, spell(key), str(message)))
        return None


def _merge(base: Any, own: Any) -> Any:
    """Lay `own` over `base`: mappings are merged by key, all else replaced; a null removes a key."""
    if not (isinstance(base, dict) and isinstance(own, dict)):
        return own
    merged = dict(base)
    for key, value in own.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(base.get(key), value)
    return merged
