"""Exporting a model: its Artifact, the lines of Python that load and run it, and a check of both.

The check runs those lines in a fresh process that cannot import the harness, except where the model itself
refers to code (`Format.holds_code`). Their outputs must equal those of a Session opened as the Trials were.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.artifacts.artifact import MANIFEST, Artifact
from harness.artifacts.cache import file_digest
from harness.errors import BuildError, HarnessError, WorkerError
from harness.files import make_folder, sweep
from harness.formats.registry import FORMATS
from harness.formats.target import Target
from harness.runner.experiment.trial import Choice
from harness.runner.export.check import check
from harness.runner.export.texts import CARD, EXAMPLE, SCRIPT, card, script
from harness.runner.workers.audits.same_outputs import RELATIVE
from harness.runner.workers.channel import HARNESS, Message
from harness.runner.workers.launch import Code, Worker, worker_environment
from harness.runtimes.registry import RUNTIMES

CONTENTS = "export.json"
"""The list of an export's files with their hashes, and what it is, as JSON."""
TIMEOUT_S = 600.0
"""Longest time that the export worker may take."""
_STAGING = ".exporting"


@dataclass(frozen=True)
class Exported:
    """What was exported, where to, and how far its outputs are from the measured Session's.

    `difference` is relative to the largest value of an output; 0 where all are equal. `files` are names.
    """

    folder: Path
    files: tuple[str, ...]
    difference: float

    @property
    def checked(self) -> str:
        """Say how the check ended."""
        if self.difference == 0:
            return "checked in a fresh process: its outputs equal those of the measured Session exactly"
        return (
            "checked in a fresh process: its outputs are those of the measured Session within "
            f"{self.difference:.1e} of the largest value (allowed: {RELATIVE:g})"
        )


def export_model(
    artifact: Artifact,
    target: Target,
    runtime: Choice,
    folder: Path,
    *,
    source: Artifact,
    data: Path,
    title: str,
    about: Sequence[str] = (),
    search_path: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
    contents: Mapping[str, Any] | None = None,
) -> Exported:
    """Copy `artifact` into `folder` with the lines that run it on `runtime` for `target`, and check them.

    `source` is the Artifact of the model as given, `data` the folder of the evaluation data: its first batch
    becomes the example. `about` are lines for the model card, `contents` what `export.json` says besides.
    `search_path` are the folders of the model's own code, `environment` the suite's variables. Raises
    HarnessError where `folder` holds other files, where runtime or format cannot be exported, and where the
    lines fail or give other outputs; `folder` is then as it was.
    """
    kind = RUNTIMES.get(runtime[0])
    if kind.snippet is None:
        raise HarnessError(f"the runtime {kind.name} cannot be exported: it registers no `snippet`")
    lines = kind.snippet(kind.config.model_validate(runtime[1]), artifact, target)
    with _staging(folder) as staged:
        shutil.copytree(artifact.folder, staged, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST))
        spec = {
            "runtime": kind.name,
            "runtime_config": dict(runtime[1]),
            "artifact": str(artifact.folder),
            "source": str(source.folder),
            "data": str(data),
            "target": target.to_dict(),
        }
        code = Code(search_path=search_path)
        found = _example(staged / EXAMPLE, code, worker_environment(target.threads, environment), spec)
        inputs, outputs = found["inputs"], found["outputs"]
        (staged / SCRIPT).write_text(script(title, lines, len(inputs), len(outputs)), encoding="utf-8")
        own_code = not FORMATS.get(artifact.format).holds_code
        worst = check(staged, [*search_path, str(HARNESS.parent)] if own_code else [])
        done = Exported(folder, (), worst)
        needs = [*_needs(lines, own_code=own_code), f"The model was {done.checked}."]
        (staged / CARD).write_text(card(title, about, inputs, outputs, needs), encoding="utf-8")
        said = {"runtime": {"name": kind.name, **runtime[1]}, "target": spec["target"], "difference": worst}
        said |= {"inputs": inputs, "outputs": outputs, **(contents or {})}
        return replace(done, files=_publish(staged, folder, said))


@contextlib.contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """Yield a folder inside `folder`, which is made if needed, and removed again if nothing came into it."""
    if folder.is_dir():
        sweep(folder, _STAGING)
    refuse_foreign(folder)
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    staged = make_folder(folder, _STAGING)
    try:
        yield staged
    finally:
        shutil.rmtree(staged, ignore_errors=True)
        if new and not any(folder.iterdir()):
            folder.rmdir()


def _needs(lines: str, *, own_code: bool) -> list[str]:
    """Return what a user must have besides the folder and the libraries that the card names."""
    found = ["If your own Python code makes the model: set PYTHONPATH to its folder; it is not copied here."]
    found += ["The lines import accel-harness: install it."] if "from harness." in lines else []
    return found if own_code else []


def refuse_foreign(folder: Path) -> None:
    """Raise HarnessError where `folder` holds anything that no export wrote, or that was changed since."""
    if folder.exists() and not folder.is_dir():
        raise HarnessError(f"{folder} is a file; name a folder for the model")
    own = _own_files(folder)
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or name == CONTENTS or name.partition("/")[0] == "__pycache__":
            continue
        if name not in own or file_digest(path) != own[name]:
            state = "was changed since it was exported" if name in own else "is no file of an exported model"
            raise HarnessError(
                f"{folder} would be overwritten, but {name} in it {state}; name another folder"
            )


def _own_files(folder: Path) -> dict[str, str]:
    """Return names and hashes of the files that an earlier export wrote into `folder`; empty for none."""
    try:
        files, place = dict(json.loads((folder / CONTENTS).read_text())["files"]), folder.resolve()
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    inside = (
        (name, known) for name, known in files.items() if (folder / name).resolve().is_relative_to(place)
    )
    return dict(inside)


def _example(out: Path, code: Code, environment: dict[str, str], spec: Mapping[str, Any]) -> Message:
    """Let a worker save the example; return names, shapes and dtypes of inputs and outputs."""
    with tempfile.TemporaryDirectory(prefix="harness-export-") as place:
        worker = Worker(
            "harness.runner.workers.export", Path(place) / "log", code=code, environment=environment
        )
        try:
            worker.send("export", out=str(out), **spec)
            return worker.expect("exported", TIMEOUT_S)
        except WorkerError as error:
            raise BuildError(f"the Artifact cannot be run for the export: {error}") from error
        finally:
            worker.kill()


def _publish(staged: Path, folder: Path, about: Mapping[str, Any]) -> tuple[str, ...]:
    """Move the files into `folder`, in place of those of an earlier export; return their names."""
    shutil.rmtree(staged / "__pycache__", ignore_errors=True)
    names = sorted(path.relative_to(staged).as_posix() for path in staged.rglob("*") if path.is_file())
    files = {name: file_digest(staged / name) for name in names}
    (staged / CONTENTS).write_text(json.dumps({**about, "files": files}, indent=1, default=str))
    for name in _own_files(folder):
        (folder / name).unlink(missing_ok=True)
    for name in [*names, CONTENTS]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (staged / name).replace(folder / name)
    return tuple(names)
