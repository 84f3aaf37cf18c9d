"""A suite file as data, each value's file and line remembered; `extends` is merged, twins are refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from harness.errors import Problem, SuiteError

Key = tuple[str | int, ...]
Places = dict[Key, tuple[str, int]]
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = "tag:yaml.org,2002:merge"
MAX_VALUES = 100_000
"""In one file, aliases counted as often as they stand: a few lines of them can be billions of values."""


@dataclass
class Document:
    """Parsed YAML: `data`, and for each path in it the file and line (from 1) where it stands."""

    path: Path
    text: str
    data: dict[str, Any]
    places: Places = field(default_factory=dict)

    def problem(self, key: Key, message: str) -> Problem:
        """Make a Problem at `key`, or at the nearest place above it that the file has."""
        at = key
        while at and at not in self.places:
            at = at[:-1]
        file, line = self.places.get(at, (str(self.path), None))
        return Problem(file, line, spell(key), message)

    def at(self, key: Key) -> Any:
        """Return the value at `key`, or None where there is none."""
        value: Any = self.data
        for part in key:
            try:
                value = value[part]
            except (LookupError, TypeError):
                return None
        return value


def spell(key: Key) -> str:
    """('techniques', 'int8', 0, 'quantize') → ``techniques.int8[0].quantize``."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def read_document(path: Path, _above: tuple[Path, ...] = ()) -> Document:
    """Read a suite file and what it extends. Raises SuiteError with every problem found."""
    document = _parse(path)
    above = (*_above, path.resolve())
    base = Document(path, "", {})
    for base_path in _bases(document, above):
        base = _lay_over(base, read_document(base_path, above))
    return _lay_over(base, document)


def _bases(document: Document, above: tuple[Path, ...]) -> list[Path]:
    """Take `extends` out of the document: the files that it is laid over, the first at the bottom."""
    extends = document.data.pop("extends", [])
    names = [extends] if isinstance(extends, str) else extends
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise SuiteError([document.problem(("extends",), "takes a file name or a list of file names")])
    paths = [document.path.parent / name for name in names]
    problems = []
    for i, (name, path) in enumerate(zip(names, paths, strict=True)):
        key: Key = ("extends", i) if names is extends else ("extends",)
        if not path.is_file():
            problems.append(document.problem(key, f"no such file: {name}"))
        elif path.resolve() in above:
            problems.append(document.problem(key, f"a suite cannot extend itself: {name}"))
    if problems:
        raise SuiteError(problems)
    return paths


def _parse(path: Path) -> Document:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise SuiteError([Problem(str(path), None, "", "no such suite file")]) from error
    except UnicodeDecodeError as error:
        raise SuiteError([Problem(str(path), None, "", f"is not text in UTF-8: {error}")]) from error
    except OSError as error:
        raise SuiteError([Problem(str(path), None, "", f"cannot be read: {error.strerror}")]) from error
    document = Document(path, text, {})
    problems: list[Problem] = []
    try:
        node = yaml.compose(text, Loader=_Loader)
        if node is not None and _count(node, {}) > MAX_VALUES:
            text = f"holds more than {MAX_VALUES:,} values, aliases counted as often as they stand"
            problems.append(Problem(str(path), None, "", text))
        elif isinstance(node, yaml.MappingNode):
            document.data = _construct(node, (), document, problems)
        else:
            problems.append(Problem(str(path), 1, "", "is no suite: it must be a mapping with the key suite"))
    except yaml.YAMLError as error:
        problems.append(_yaml_problem(document, error))
    except RecursionError:
        problems.append(
            Problem(str(path), None, "", "is nested too deeply, or an alias stands inside itself")
        )
    if problems:
        raise SuiteError(problems)
    return document


def _yaml_problem(document: Document, error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None)
    parts = [getattr(error, "context", None), getattr(error, "problem", None)]
    what = ", ".join(part for part in parts if part) or str(error).splitlines()[0]
    line = document.text.splitlines()[mark.line : mark.line + 1] if mark else []
    tab = "; YAML is indented with spaces, not tabs" if line and "\t" in line[0] else ""
    return Problem(str(document.path), mark.line + 1 if mark else None, "", f"is not valid YAML: {what}{tab}")


def _count(node: yaml.Node, known: dict[int, int]) -> int:
    """Values below `node` and itself, each alias as often as it stands."""
    if id(node) not in known:
        match node:
            case yaml.MappingNode():
                known[id(node)] = 1 + sum(_count(value, known) for _, value in node.value)
            case yaml.SequenceNode():
                known[id(node)] = 1 + sum(_count(item, known) for item in node.value)
            case _:
                known[id(node)] = 1
    return known[id(node)]


def _construct(node: yaml.Node, key: Key, document: Document, problems: list[Problem]) -> Any:
    file = str(document.path)
    if isinstance(node, yaml.MappingNode):
        mapping = _merged(node, key, document, problems)
        document.places[key] = (file, node.start_mark.line + 1)
        own: set[str] = set()
        for name_node, value_node in node.value:
            if name_node.tag == _MERGE:
                continue
            name = str(getattr(name_node, "value", ""))
            inner = (*key, name)
            line = name_node.start_mark.line + 1
            if not isinstance(name_node, yaml.ScalarNode):
                problems.append(Problem(file, line, spell(key), "a key must be plain text"))
                continue
            if name in own:
                text = f"stands twice, first in line {document.places[inner][1]}"
                problems.append(Problem(file, line, spell(inner), text))
            own.add(name)
            mapping[name] = _construct(value_node, inner, document, problems)
            document.places[inner] = (file, line)
        return mapping
    document.places[key] = (file, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        return [_construct(item, (*key, i), document, problems) for i, item in enumerate(node.value)]
    try:
        return yaml.SafeLoader("").construct_object(node)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: the 45th of a month, !!int "x"
        message = getattr(error, "problem", None) or str(error)
        problems.append(Problem(file, node.start_mark.line + 1, spell(key), str(message)))
        return None


def _merged(node: yaml.MappingNode, key: Key, document: Document, problems: list[Problem]) -> dict[str, Any]:
    """What `<<: *anchor`, or a list of them, brings along; of a name in several the first counts."""
    mapping: dict[str, Any] = {}
    for name_node, value_node in node.value:
        if name_node.tag != _MERGE:
            continue
        sources = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
        for source in reversed(sources):
            if isinstance(source, yaml.MappingNode):
                mapping.update(_construct(source, key, document, problems))
            else:
                line = source.start_mark.line + 1
                text = "<< takes a mapping, or a list of mappings"
                problems.append(Problem(str(document.path), line, spell(key), text))
    return mapping


def _lay_over(base: Document, own: Document) -> Document:
    """Return `own` laid over `base`; places of what `own` replaces or removes are forgotten."""
    replaced: list[Key] = []
    data = dict(_merge(base.data, own.data, (), replaced))
    places = {
        key: place
        for key, place in base.places.items()
        if not any(key[: len(gone)] == gone for gone in replaced)
    }
    return Document(own.path, own.text, data, {**places, **own.places})


def _merge(base: Any, own: Any, key: Key, replaced: list[Key]) -> Any:
    """Mappings are merged by key, all else is replaced; a null removes what the base has."""
    if not (isinstance(base, dict) and isinstance(own, dict)):
        replaced.append(key)
        return own
    merged = dict(base)
    for name, value in own.items():
        inner = (*key, name)
        if name not in base:
            merged[name] = value
        elif value is None:
            replaced.append(inner)
            del merged[name]
        else:
            merged[name] = _merge(base[name], value, inner, replaced)
    return merged
