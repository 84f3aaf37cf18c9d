"""What a model or dataset is known by: the text of the code that makes it, and the files that it reads."""

from __future__ import annotations

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.artifacts.cache import digest, file_digest
from harness.errors import DataError
from harness.packages import import_versions, requirement_versions
from harness.zoo.registry import DATASETS
from harness.zoo.user_code import find_module

MAX_FILES = 2000
_OURS = Path(__file__).resolve().parents[1]


def code_identity(reference: str, folder: Path) -> str:
    """Hash the file of `package.module:function` and what it imports from beside it, file by file.

    In a package all Python files of its folder and below count. Imports are read and not run; they are
    followed beside the module, beside the suite and in the working folder, not into installed packages,
    whose versions count instead (of an installed module, those that its distribution requires). What is
    imported under a name made at run time is not seen.
    """
    path = find_module(reference, folder)
    depth = len(reference.partition(":")[0].split("."))
    own = path.parents[depth if path.name == "__init__.py" else depth - 1]
    roots = list(dict.fromkeys(place.resolve() for place in (own, folder, Path.cwd())))
    files = _package(path) if (path.parent / "__init__.py").is_file() else [path]
    if path.resolve().is_relative_to(_OURS):
        return _digest(own, files)  # what it needs is recorded by whoever builds it
    if _is_installed(path):
        versions = requirement_versions(reference.partition(":")[0].partition(".")[0])
    else:
        files = _with_imports(files, roots)
        versions = import_versions(_foreign(files, roots))
    return digest([_digest(own, files), versions])


def folder_identity(folder: Path) -> str:
    """Hash all Python files of a folder and below."""
    return _digest(folder, _python_files(folder))


def dataset_identity(reference: str | None, folder: Path) -> str | None:
    """Hash the code that loads a dataset, a user's or a registered one, whose data have published sums."""
    if reference is None:
        return None
    if ":" in reference:
        return code_identity(reference, folder)
    dataset = DATASETS.get(reference)
    module = sys.modules.get(getattr(dataset.generate or dataset.load, "__module__", ""))
    code = getattr(module, "__file__", None)
    return f"{reference} {file_digest(Path(code)) if code else ''} {sorted(dataset.md5.items())}"


def training_version(reference: str | None) -> str:
    """What a registered dataset's training items depend on beside its code and sums; else empty."""
    if reference is None or reference not in DATASETS:
        return ""
    return DATASETS.get(reference).training_version()


def depends_identity(paths: Iterable[str], folder: Path) -> list[str]:
    """Hash each of the files, and of the folders with all that is in them, that `folder` has under `paths`.

    Raises DataError for one that is not there.
    """
    found = []
    for name in paths:
        place = folder / name
        if place.is_file():
            found.append(file_digest(place))
        elif place.is_dir():
            found.append(_digest(place, sorted(file for file in place.rglob("*") if file.is_file())))
        else:
            raise DataError(f"{name}: no such file or folder beside the suite")
    return found


def _digest(base: Path, files: Iterable[Path]) -> str:
    """Hash names below `base` (elsewhere the bare name) and contents."""
    total = hashlib.sha256()
    for file in files:
        inside = file.is_relative_to(base)
        total.update(f"{file.relative_to(base).as_posix() if inside else file.name} ".encode())
        total.update(file_digest(file).encode())
    return total.hexdigest()


def _python_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))[:MAX_FILES]


def _package(path: Path) -> list[Path]:
    """All Python files of the folder that `path` is in."""
    return _python_files(path.parent)


def _is_installed(path: Path) -> bool:
    """Whether a file belongs to an installed package, the standard library or the harness itself."""
    places = [Path(sysconfig.get_path(name)) for name in ("purelib", "platlib", "stdlib")]
    return any(path.resolve().is_relative_to(place.resolve()) for place in (*places, _OURS))


def _with_imports(files: list[Path], roots: list[Path]) -> list[Path]:
    """Return `files` and all files that they import, and these, as far as they lie under `roots`."""
    seen = dict.fromkeys(file.resolve() for file in files)
    waiting = list(seen)
    while waiting and len(seen) < MAX_FILES:
        for found in _imports(waiting.pop(), roots):
            if found not in seen and not _is_installed(found):
                seen[found] = None
                waiting.append(found)
    return sorted(seen)


def _foreign(files: Iterable[Path], roots: list[Path]) -> set[str]:
    """Top-level modules that `files` import and that do not lie under `roots`."""
    named = {name for file in files for name, places in _names(file, roots) if places is roots}
    return {name.partition(".")[0] for name in named if not any(_files(name, roots))}


def _imports(path: Path, roots: list[Path]) -> Iterator[Path]:
    """Files that `path` imports by name."""
    for name, places in _names(path, roots):
        yield from _files(name, places)


def _names(path: Path, roots: list[Path]) -> Iterator[tuple[str, list[Path]]]:
    """Dotted names that `path` imports, and where to look for each; none where it cannot be parsed."""
    try:
        nodes = list(ast.walk(ast.parse(path.read_bytes())))
    except (SyntaxError, ValueError):
        return
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, roots) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            places = [path.parents[node.level - 1]] if 0 < node.level <= len(path.parents) else roots
            for alias in node.names:
                yield ".".join(filter(None, (node.module, alias.name))), places


def _files(name: str, roots: list[Path]) -> Iterator[Path]:
    """The files of a dotted name and of the packages that it is in, under the first root that has them."""
    parts = [part for part in name.split(".") if part != "*"]
    for root in roots:
        places = [root.joinpath(*parts[: i + 1]) for i in range(len(parts))]
        candidates = [file for at in places for file in (at.with_suffix(".py"), at / "__init__.py")]
        if found := [file.resolve() for file in candidates if file.is_file()]:
            yield from found
            return
