"""Exporting a model: its Artifact, the lines of Python that load and run it, and a check of both.

The check runs those lines in a fresh process that cannot import the harness, except where the model itself
refers to code (`Format.holds_code`). Their outputs must equal those of a Session opened as the Trials were.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.artifacts.artifact import MANIFEST, Artifact
from harness.artifacts.cache import file_digest
from harness.environment import passed_on
from harness.errors import BuildError, HarnessError, WorkerError, explain_exit
from harness.files import make_folder, sweep
from harness.formats.registry import FORMATS
from harness.formats.target import Target
from harness.formats.tensors import Array
from harness.runner.experiment.trial import Choice
from harness.runner.workers.audits.same_outputs import RELATIVE, difference
from harness.runner.workers.channel import HARNESS, Message
from harness.runner.workers.launch import Code, Worker, worker_environment
from harness.runtimes.registry import RUNTIMES

SCRIPT, CARD, EXAMPLE, CONTENTS = "run_model.py", "README.txt", "example.npz", "export.json"
TIMEOUT_S = 600.0
"""Longest time that the export worker and the check may take each."""
_STAGING = ".exporting"
_SCRIPT = '''\
"""{title}

`python {script}` runs the example inputs and prints how far the outputs are from those of the Session that was
measured. In a program of your own: `model = load()`, then `outputs = run(model, inputs)` with a list of arrays.
"""

from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent


{lines}

def main():
    """Run the example; print the largest difference from the measured Session's outputs, and return ours."""
    with np.load(FOLDER / "{example}") as example:
        inputs = [example[f"input_{{i}}"] for i in range({inputs})]
        measured = [example[f"output_{{i}}"] for i in range({outputs})]
    ours = [np.asarray(output) for output in run(load(), inputs)]
    for number, (mine, theirs) in enumerate(zip(ours, measured, strict=True)):
        apart = np.max(np.abs(mine - 1.0 * theirs), initial=0.0)
        largest = np.max(np.abs(1.0 * theirs), initial=0.0)
        print(f"output {{number}}: shape {{mine.shape}}, {{mine.dtype}}; largest difference {{apart:.3g}}")
        print(f"  from the measured outputs, whose largest value is {{largest:.3g}}")
    return ours


if __name__ == "__main__":
    main()
'''
_CHECK = """\
import runpy, sys
import numpy as np
if sys.argv[2] == "alone":
    sys.modules["harness"] = None
sys.path += sys.argv[3:]
np.savez(sys.argv[1], *runpy.run_path("{script}")["main"]())
"""


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
    if folder.is_dir():
        sweep(folder, _STAGING)
    refuse_foreign(folder)
    kind = RUNTIMES.get(runtime[0])
    if kind.snippet is None:
        raise HarnessError(f"the runtime {kind.name} cannot be exported: it registers no `snippet`")
    lines = kind.snippet(kind.config.model_validate(runtime[1]), artifact, target)
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    staged = make_folder(folder, _STAGING)
    try:
        shutil.copytree(artifact.folder, staged, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST))
        found = _example(
            staged / EXAMPLE,
            Code(search_path=search_path),
            worker_environment(target.threads, environment),
            runtime=kind.name,
            runtime_config=dict(runtime[1]),
            artifact=str(artifact.folder),
            source=str(source.folder),
            data=str(data),
            target=target.to_dict(),
        )
        text = _SCRIPT.format(
            title=title,
            script=SCRIPT,
            example=EXAMPLE,
            lines=lines,
            inputs=len(found["inputs"]),
            outputs=len(found["outputs"]),
        )
        (staged / SCRIPT).write_text(text, encoding="utf-8")
        alone = FORMATS.get(artifact.format).holds_code
        worst = _check(staged, [] if alone else [*search_path, str(HARNESS.parent)], alone=alone)
        done = Exported(folder, (), worst)
        card = _card(title, about, found, done.checked, own_code=not alone)
        (staged / CARD).write_text(card, encoding="utf-8")
        about_it = {
            **(contents or {}),
            "runtime": {"name": kind.name, **runtime[1]},
            "target": target.to_dict(),
            "inputs": found["inputs"],
            "outputs": found["outputs"],
            "difference": worst,
        }
        return Exported(folder, _publish(staged, folder, about_it), worst)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
        if new and not any(folder.iterdir()):
            folder.rmdir()


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
            raise HarnessError(f"{folder} would be overwritten, but {name} in it {state}; name another folder")


def _own_files(folder: Path) -> dict[str, str]:
    """Return names and hashes of the files that an earlier export wrote into `folder`; empty for none."""
    try:
        files, place = dict(json.loads((folder / CONTENTS).read_text())["files"]), folder.resolve()
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    inside = ((name, known) for name, known in files.items() if (folder / name).resolve().is_relative_to(place))
    return dict(inside)


def _example(
    out: Path, code: Code, environment: dict[str, str], **spec: Any
) -> Message:
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


def _check(folder: Path, code_in: list[str], *, alone: bool) -> float:
    """Run the exported lines in a fresh process in `folder`; return how far their outputs are off.

    Raises BuildError when they fail, or when the difference is larger than the audits allow.
    """
    with tempfile.TemporaryDirectory(prefix="harness-export-") as place:
        out = Path(place) / "outputs.npz"
        way = "alone" if alone else "with its code"
        command = [sys.executable, "-P", "-c", _CHECK.format(script=SCRIPT), str(out), way, *code_in]
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=passed_on(os.environ),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BuildError(f"the check of the exported model failed: {error}") from error
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.strip()]
            why = said[-1] if said and done.returncode > 0 else explain_exit(done.returncode)
            raise BuildError(f"the check of the exported model failed, so nothing was exported: {why}")
        with np.load(out) as mine, np.load(folder / EXAMPLE) as example:
            ours = [mine[name] for name in mine.files]
            measured = [example[name] for name in example.files if name.startswith("output_")]
    return _apart(ours, measured)


def _apart(ours: Sequence[Array], measured: Sequence[Array]) -> float:
    """Return the largest difference of all outputs, relative to the largest value of each.

    Raises BuildError for one that is larger than the audits allow (RELATIVE).
    """
    if len(ours) != len(measured):
        raise BuildError(f"the exported model gives {len(ours)} outputs, the measured Session {len(measured)}")
    worst = 0.0
    for number, (mine, theirs) in enumerate(zip(ours, measured, strict=True)):
        if mine.shape != theirs.shape or mine.dtype != theirs.dtype:
            got, wanted = (f"{array.dtype} {array.shape}" for array in (mine, theirs))
            raise BuildError(f"output {number} of the exported model is {got}, the measured Session's {wanted}")
        if np.array_equal(mine, theirs, equal_nan=mine.dtype.kind in "fc"):
            continue
        scale = float(np.max(np.abs(1.0 * theirs), initial=0.0)) or 1.0
        apart = float(np.max(np.abs(mine - 1.0 * theirs), initial=0.0)) / scale
        if difference(mine, theirs):
            raise BuildError(
                f"output {number} of the exported model differs from the measured Session's by {apart:.1e} of "
                f"its largest value (allowed: {RELATIVE:g}), so nothing was exported"
            )
        worst = max(worst, apart)
    return worst


def _card(title: str, about: Sequence[str], found: Message, checked: str, *, own_code: bool) -> str:
    """Return the model card as text."""

    def lines(arrays: list[dict[str, Any]]) -> list[str]:
        return [f"  {one['name']}: {one['dtype']} {tuple(one['shape'])}" for one in arrays]

    code = ["", "The model is made by its own Python code, which is not in this folder: set PYTHONPATH to it."]
    return "\n".join(
        [
            title,
            "=" * len(title),
            *about,
            "",
            f"Files: {SCRIPT} loads and runs the model (start: python {SCRIPT}). {EXAMPLE} holds the first batch",
            "of the evaluation data, and the outputs of the measured Session for it.",
            *(code if own_code else []),
            "",
            "Inputs, as measured:",
            *lines(found["inputs"]),
            "Outputs:",
            *lines(found["outputs"]),
            "",
            f"The model was {checked}.",
            "",
        ]
    )


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
