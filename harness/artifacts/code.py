"""Which code a function uses: its file and what that imports, read and not run.

Docstrings, comments and blank lines do not count, so that a change of documentation changes no identity.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_FILES = 2000
HARNESS = Path(__file__).resolve().parents[1]
WITHOUT_EFFECT = (
    "__init__.py",
    "artifacts",
    "config.py",
    "errors.py",
    "files.py",
    "formats/target.py",
    "packages.py",
    "units.py",
    "zoo/identities.py",
    "zoo/source.py",
)
"""Files and folders of the harness on which no result depends; neither does it on any `registry.py`."""


@dataclass(frozen=True)
class Code:
    """One file: the hash of its statements, and its imports as (leading dots, dotted name)."""

    digest: str
    imports: tuple[tuple[int, str], ...] = ()


@functools.lru_cache(maxsize=4096)
def parse_code(source: bytes) -> Code:
    """Hash Python source without docstrings, comments and blank lines, and list its imports.

    Imports for type checkers only do not count. Source that cannot be parsed counts byte by byte, and so does
    source in another encoding than UTF-8. Docstrings count where the source reads `__doc__`.
    """
    source = source.replace(b"\r\n", b"\n")
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return Code(hashlib.sha256(source).hexdigest())
    imports: list[tuple[int, str]] = []
    strings: list[ast.expr] = []
    docstrings: list[ast.expr] = []
    for node in _nodes(tree):
        if isinstance(node, ast.Import):
            imports += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = (".".join(filter(None, (node.module, alias.name))) for alias in node.names)
            imports += [(node.level, name) for name in names]
        elif isinstance(node, ast.JoinedStr) or _is_text(node):
            strings.append(node)
        elif isinstance(node, ast.Expr) and _is_text(node.value) and b"__doc__" not in source:
            docstrings.append(node.value)
    if source.isascii() or not re.match(rb"\xef\xbb\xbf|(?:.*\n)?.*coding[:=]", source):
        source = _statements(source, strings, docstrings)
    return Code(hashlib.sha256(source).hexdigest(), tuple(imports))


def _nodes(tree: ast.AST) -> Iterator[Any]:
    """Yield all nodes but those inside f-strings and those under ``if TYPE_CHECKING``."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in (
            getattr(node.test, "id", ""),
            getattr(node.test, "attr", ""),
        ):
            waiting += node.orelse
        elif not isinstance(node, ast.JoinedStr):
            waiting += ast.iter_child_nodes(node)


def _is_text(node: Any) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes))


def _statements(source: bytes, strings: list[ast.expr], docstrings: list[ast.expr]) -> bytes:
    """Cut docstrings, comments, blank lines and spaces at line ends; keep other strings as they are."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def span(node: ast.expr) -> slice:
        end_line, end = node.end_lineno or node.lineno, node.end_col_offset or 0
        return slice(starts[node.lineno - 1] + node.col_offset, starts[end_line - 1] + end)

    outline = bytearray(source)  # as long as the source; strings are covered, and what is cut is blank
    for place in map(span, strings):
        outline[place] = b"s" * (place.stop - place.start)
    for place in map(span, docstrings):
        outline[place] = b" " * (place.stop - place.start)
    blank = re.sub(rb"#[^\n]*", lambda comment: b" " * len(comment.group()), bytes(outline))
    kept, at = [], 0
    for cut in re.finditer(rb"(?m)^[ \t\f]*(?:\n|\Z)|[ \t\f]+$", blank):
        kept.append(source[at : cut.start()])
        at = cut.end()
    return b"".join([*kept, source[at:]])


class Imports:
    """Follows imports between files below `roots`, except files for which `left_out` returns true."""

    def __init__(self, roots: Iterable[Path], left_out: Callable[[Path], bool]) -> None:
        self.roots = list(dict.fromkeys(root.resolve() for root in roots))
        self.left_out = left_out
        self._direct: dict[Path, list[Path]] = {}

    def closure(self, files: Iterable[Path]) -> list[Path]:
        """Return `files` and all files that they import, and these, sorted."""
        seen = dict.fromkeys(file.resolve() for file in files)
        waiting = list(seen)
        while waiting and len(seen) < MAX_FILES:
            for found in self.direct(waiting.pop()):
                if found not in seen:
                    seen[found] = None
                    waiting.append(found)
        return sorted(seen)

    def direct(self, path: Path) -> list[Path]:
        """Return the files that `path` imports itself."""
        if path not in self._direct:
            named = (file for name, places in self.names(path) for file in files_of(name, places))
            self._direct[path] = [file for file in dict.fromkeys(named) if not self.left_out(file)]
        return self._direct[path]

    def names(self, path: Path) -> Iterator[tuple[str, list[Path]]]:
        """Yield the dotted names that `path` imports, and the folders where each may be found."""
        for level, name in parse_code(path.read_bytes()).imports:
            yield name, [path.parents[level - 1]] if 0 < level <= len(path.parents) else self.roots


def files_of(name: str, roots: list[Path]) -> list[Path]:
    """Return the files of a dotted name and of the packages that it is in, under the first root with any."""
    parts = [part for part in name.split(".") if part != "*"]
    for root in roots:
        places = [root.joinpath(*parts[: i + 1]) for i in range(len(parts))]
        candidates = [file for at in places for file in (at.with_suffix(".py"), at / "__init__.py")]
        if found := [file.resolve() for file in candidates if file.is_file()]:
            return found
    return []


def code_digest(base: Path, files: Iterable[Path]) -> str:
    """Hash the names below `base` (elsewhere the bare name) and the statements of Python files."""
    total = hashlib.sha256()
    for file in files:
        name = file.relative_to(base).as_posix() if file.is_relative_to(base) else file.name
        total.update(f"{name} {parse_code(file.read_bytes()).digest} ".encode())
    return total.hexdigest()


class HarnessCode(Imports):
    """The files of the harness below `folder`, and those below `plugin` (a package or a file) beside them."""

    def __init__(self, folder: Path = HARNESS, plugin: Path | None = None) -> None:
        self.folder, self.plugin = folder.resolve(), plugin
        super().__init__([folder.parent, *([plugin.parent] if plugin else [])], self._left_out)

    def digest(self, paths: Iterable[Path]) -> str:
        """Hash the code that `paths` use."""
        return code_digest(self.folder.parent, self.closure(paths))

    def _left_out(self, file: Path) -> bool:
        if not file.is_relative_to(self.folder):
            return self.plugin is None or not file.is_relative_to(self.plugin)
        name = file.relative_to(self.folder)
        places = (name.as_posix(), *(parent.as_posix() for parent in name.parents))
        return name.name == "registry.py" or any(place in WITHOUT_EFFECT for place in places)


def code_of(*functions: Callable[..., Any] | None) -> str:
    """Hash the code of the harness, and of the functions' own package, that these functions use."""
    return _code_of(tuple(sorted({function.__module__ for function in functions if function is not None})))


@functools.cache
def _code_of(modules: tuple[str, ...]) -> str:
    digests = []
    for module in modules:
        file = getattr(sys.modules.get(module), "__file__", None)
        if file is not None and (path := Path(file).resolve()).is_file():
            depth = module.count(".") + (path.name == "__init__.py")
            top = path.parents[depth - 1] if depth else path
            digests.append(harness_code(None if top == HARNESS else top).digest([path]))
    return hashlib.sha256(" ".join(digests).encode()).hexdigest() if digests else ""


@functools.cache
def harness_code(plugin: Path | None = None) -> HarnessCode:
    """Return the installed harness's code, with one plug-in's beside it; files are read once."""
    return HarnessCode(plugin=plugin)
