"""Identities of models and datasets: the code that makes them, and the files that they read."""

from __future__ import annotations

import hashlib
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.artifacts.cache import digest, file_digest
from harness.artifacts.code import HARNESS, MAX_FILES, Imports, code_digest, code_of, files_of, harness_code
from harness.errors import DataError
from harness.packages import import_versions, requirement_versions, versions_of
from harness.zoo.data_sources.registry import DataConfig, data_source, named_by
from harness.zoo.registry import DATASETS
from harness.zoo.splits import find_places
from harness.zoo.user_code import data_config, find_module, load_data


@dataclass(frozen=True)
class CodeIdentity:
    """A hash of code, the versions of the libraries that it imports, by distribution, and a user's files."""

    digest: str = ""
    libraries: dict[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = field(default=(), compare=False)


def code_identity(reference: str, folder: Path) -> CodeIdentity:
    """Hash the file of `package.module:function` and the files that it imports.

    In a package all Python files of its folder and below count. Imports are read and not run. They are
    followed beside the module, beside the suite and in the working folder, but not into installed packages,
    whose versions count instead (for an installed module: those that its distribution requires). A module
    that is imported under a name made at run time is not found.
    """
    path = find_module(reference, folder)
    if path.resolve().is_relative_to(HARNESS):
        return CodeIdentity(harness_code().digest([path]))
    depth = len(reference.partition(":")[0].split("."))
    own = path.parents[depth if path.name == "__init__.py" else depth - 1]
    files = [path]
    if (path.parent / "__init__.py").is_file():
        files = sorted(path.parent.rglob("*.py"))[:MAX_FILES]
    if _is_installed(path):
        versions = requirement_versions(reference.partition(":")[0].partition(".")[0])
    else:
        imports = Imports((own, folder, Path.cwd()), _is_installed)
        files = imports.closure(files)
        versions = import_versions(_foreign(files, imports))
    return CodeIdentity(code_digest(own, files), versions, tuple(files))


def dataset_identity(reference: str | DataConfig | None, folder: Path) -> CodeIdentity:
    """Hash what a dataset depends on: the code that loads it, its settings, and the contents of its files.

    Of a registered dataset the known sums of its files count. Raises DataError for files that are missing.
    """
    if reference is None:
        return CodeIdentity()
    if isinstance(reference, str) and reference in DATASETS:
        dataset = DATASETS.get(reference)
        sums = sorted(dataset.md5.items())
        return CodeIdentity(digest([reference, code_of(dataset.generate, dataset.load), sums]))
    config = data_config(reference)
    source = data_source(config)
    made_of = [config.content(), code_of(source.load, load_data)]
    if files := source.files(config):
        places = [str(place) for file in files for place in find_places(file, folder).values()]
        content = depends_identity(places, folder)
        return CodeIdentity(digest([*made_of, content]), versions_of(source.packages))
    code = code_identity(named_by(config), folder)
    return replace(code, digest=digest([*made_of, code.digest]))


def training_version(reference: str | DataConfig | None) -> str:
    """Return what else a registered dataset's training samples depend on; empty for other datasets."""
    if not isinstance(reference, str) or reference not in DATASETS:
        return ""
    return DATASETS.get(reference).training_version()


def depends_identity(paths: Iterable[str], folder: Path) -> list[str]:
    """Hash each of the files and folders named by `paths`, relative to `folder`.

    What Python compiles in a folder does not count: it appears when the code is used.
    Raises DataError for one that does not exist.
    """
    found = []
    for name in paths:
        place = folder / name
        if place.is_file():
            found.append(file_digest(place))
        elif place.is_dir():
            below = (file for file in place.rglob("*") if "__pycache__" not in file.parts)
            found.append(_digest(place, sorted(file for file in below if file.is_file())))
        else:
            raise DataError(f"{name}: no such file or folder beside the suite")
    return found


def _digest(base: Path, files: Iterable[Path]) -> str:
    """Hash the names below `base` and the contents of files."""
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.relative_to(base).as_posix()} ".encode())
        total.update(file_digest(file).encode())
    return total.hexdigest()


def _is_installed(path: Path) -> bool:
    """Whether a file belongs to an installed package, the standard library or the harness itself."""
    places = [Path(sysconfig.get_path(name)) for name in ("purelib", "platlib", "stdlib")]
    return any(path.resolve().is_relative_to(place.resolve()) for place in (*places, HARNESS))


def _foreign(files: Iterable[Path], imports: Imports) -> set[str]:
    """Return the top-level modules that `files` import and that are not below the roots."""
    named = {name for file in files for name, places in imports.names(file) if places is imports.roots}
    return {name.partition(".")[0] for name in named if not files_of(name, imports.roots)}
