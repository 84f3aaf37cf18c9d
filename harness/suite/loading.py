"""Reads a suite file (YAML 1.2) as plain data with the file and line of each value, and merges `extends`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml import MappingNode, Node, ScalarNode, SequenceNode, YAMLError
from yamlcore import CCoreLoader

from harness.errors import Problem, SuiteError

Key = tuple[str | int, ...]
Places = dict[Key, tuple[str, int]]
MAX_VALUES = 100_000
"""Limit for one file. Each use of an alias counts: a few lines of aliases can be billions of values."""
MAX_DEPTH = 100
"""Limit of the nesting of a value."""
SWITCHES = {"on": "true", "yes": "true", "off": "false", "no": "false"}
"""Words that YAML 1.1 reads as booleans and YAML 1.2 as text. Refused without quotes in the arguments of a
user's function (`kwargs`), whose types no schema knows."""


@dataclass
class Document:
    """Parsed YAML: `data`, and `places`: the file and line (from 1) of each path in it."""

    path: Path
    text: str
    data: dict[str, Any]
    places: Places = field(default_factory=dict)

    def problem(self, key: Key, message: str) -> Problem:
        """Return a Problem at `key`, or at its nearest parent that the file has."""
        at = key
        while at and at not in self.places:
            at = at[:-1]
        file, line = self.places.get(at, (str(self.path), None))
        return Problem(file, line, spell(key), message)

    def at(self, key: Key) -> Any:
        """Return the value at `key`, or None if there is no such key."""
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


def read_document(path: Path, text: str | None = None, _above: tuple[Path, ...] = ()) -> Document:
    """Read a suite file and the files that it extends. Raises SuiteError with all problems found.

    `text` is what the file will hold, if it is not written yet.
    """
    document = _parse(path, text)
    above = (*_above, path.resolve())
    base = Document(path, "", {})
    for base_path in _bases(document, above):
        base = _override(base, read_document(base_path, None, above))
    return _override(base, document)


def _bases(document: Document, above: tuple[Path, ...]) -> list[Path]:
    """Remove `extends` from the document and return its paths; later files override earlier ones."""
    extends = document.data.pop("extends", [])
    names = [extends] if isinstance(extends, str) else extends
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise SuiteError([document.problem(("extends",), "must be a file name or a list of file names")])
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


def _parse(path: Path, text: str | None) -> Document:
    """Read one file, without what it extends."""
    try:
        text = path.read_text(encoding="utf-8") if text is None else text
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError):
            missing = isinstance(error, FileNotFoundError)
            what = "no such suite file" if missing else f"cannot be read: {error.strerror}"
        else:
            what = f"is not UTF-8 text: {error}"
        raise SuiteError([Problem(str(path), None, "", what)]) from error
    document = Document(path, text, {})
    reader = _Reader(document)
    try:
        node = yaml.compose(text, Loader=CCoreLoader)
        if isinstance(node, MappingNode):
            document.data = reader.mapping(node, ())
        else:
            reader.problem(1, (), "is not a suite: it must be a mapping with the key suite")
    except YAMLError as error:
        reader.problems.append(_yaml_problem(document, error))
    except RecursionError:
        reader.problem(None, (), "is nested too deeply, or an alias contains itself")
    if reader.problems:
        raise SuiteError(reader.problems)
    return document


def _yaml_problem(document: Document, error: YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None)
    parts = [getattr(error, "context", None), getattr(error, "problem", None)]
    what = ", ".join(part for part in parts if part) or str(error).splitlines()[0]
    line = document.text.splitlines()[mark.line : mark.line + 1] if mark else []
    tab = "; YAML is indented with spaces, not tabs" if line and "\t" in line[0] else ""
    return Problem(str(document.path), mark.line + 1 if mark else None, "", f"is not valid YAML: {what}{tab}")


class _Reader:
    """Turns the parser's nodes into data, and notes the line of each value in the document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []
        self.values = 0

    def problem(self, line: int | None, key: Key, message: str) -> None:
        """Add a problem at `key`."""
        self.problems.append(Problem(str(self.document.path), line, spell(key), message))

    def value(self, node: Node, key: Key) -> Any:
        """Return the node's value.

        Raises SuiteError when the file has more than MAX_VALUES, and RecursionError when it is nested deeper
        than MAX_DEPTH; Python's own limit is no bound, since some libraries raise it.
        """
        self.values += 1
        if self.values > MAX_VALUES:
            self.problem(None, (), f"has more than {MAX_VALUES:,} values (each use of an alias counts)")
            raise SuiteError(self.problems)
        if len(key) > MAX_DEPTH:
            raise RecursionError
        line = node.start_mark.line + 1
        self.document.places[key] = (str(self.document.path), line)
        match node:
            case MappingNode():
                return self.mapping(node, key)
            case SequenceNode():
                return [self.value(one, (*key, i)) for i, one in enumerate(node.value)]
        plain = isinstance(node, ScalarNode) and not node.style
        if plain and "kwargs" in key and node.value.lower() in SWITCHES:
            meant = SWITCHES[node.value.lower()]
            quoted = f'write {meant}, or "{node.value}" in quotes'
            self.problem(line, key, f"{node.value} may be a boolean or a name: {quoted}")
        try:
            return CCoreLoader("").construct_object(node)
        except (YAMLError, ValueError, LookupError):  # an unknown tag, !!int seven, !!bool maybe
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            self.problem(line, key, f"cannot read {node.value[:60]!r} as {tag}")
            return None

    def mapping(self, node: MappingNode, key: Key) -> dict[str, Any]:
        """Return a mapping; its own keys win over those that ``<<`` merges into it."""
        mapping = self._merged(node, key)
        self.document.places[key] = (str(self.document.path), node.start_mark.line + 1)
        own: dict[str, int] = {}
        for name_node, value_node in node.value:
            line = name_node.start_mark.line + 1
            if _is_merge(name_node):
                continue
            if not isinstance(name_node, ScalarNode):
                self.problem(line, key, "a key must be plain text")
                continue
            name = name_node.value
            if name in own:
                self.problem(line, (*key, name), f"duplicate key, first defined in line {own[name]}")
            own.setdefault(name, line)
            mapping[name] = self.value(value_node, (*key, name))
            self.document.places[(*key, name)] = (str(self.document.path), line)
        return mapping

    def _merged(self, node: MappingNode, key: Key) -> dict[str, Any]:
        """Return what ``<<: *anchor``, or a list of anchors, merges; the first that has a key wins."""
        mapping: dict[str, Any] = {}
        for sources in (value for name, value in node.value if _is_merge(name)):
            for source in reversed(sources.value if isinstance(sources, SequenceNode) else [sources]):
                if isinstance(source, MappingNode):
                    mapping.update(self.value(source, key))
                else:
                    self.problem(source.start_mark.line + 1, key, "<< needs a mapping, or a list of mappings")
        return mapping


def _is_merge(node: Node) -> bool:
    """Whether a key is ``<<`` without quotes."""
    return isinstance(node, ScalarNode) and node.value == "<<" and node.style not in ("'", '"')


def _override(base: Document, own: Document) -> Document:
    """Merge `own` over `base`, and remove the places of values that `own` replaces or removes."""
    places = dict(base.places)
    data = dict(_merge(base.data, own.data, (), places))
    return Document(own.path, own.text, data, {**places, **own.places})


def _merge(base: Any, own: Any, key: Key, places: Places) -> Any:
    """Merge mappings key by key. Any other value replaces that of the base; null removes it."""
    if not (isinstance(base, dict) and isinstance(own, dict)):
        for gone in [place for place in places if place[: len(key)] == key]:
            del places[gone]
        return own
    merged = dict(base)
    for name, value in own.items():
        merged[name] = _merge(base[name], value, (*key, name), places) if name in base else value
        if value is None and name in base:
            del merged[name]
    return merged
