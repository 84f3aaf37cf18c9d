"""Places: odd paths, and folders that are gone or cannot be written; each works or is named with a remedy."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from harness import cli
from harness.artifacts.cache import Cache
from harness.errors import StoreError
from harness.files import make_writable
from harness.formats.aoti import package

ROOT = Path(__file__).resolve().parents[2]
ODD = "a:b 'c' é%d"
SUITE = """\
suite: odd
models:
  net: {torch: "places_net:build", inputs: {x: [4]}}
workloads:
  online: {scenario: single-stream}
hardware:
  cpu: {device: cpu, threads: 1}
techniques:
  eager: [{runtime: torch-eager}]
"""
NET = "import torch\ndef build():\n    return torch.nn.Linear(4, 2).eval()\n"


def dry_run(folder: Path, text: bytes = SUITE.encode(), **variables: str) -> subprocess.CompletedProcess[str]:
    """Plan the suite in a folder, in a process of its own."""
    folder.mkdir(exist_ok=True)
    (folder / "suite.yaml").write_bytes(text)
    (folder / "places_net.py").write_text(NET)
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "HARNESS_CACHE")}
    environment |= {"PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-m", "harness.cli", "run", "suite.yaml", "--dry-run"]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, errors="replace"
    )


@pytest.mark.parametrize(
    ("name", "variables"),
    [
        (ODD, {}),
        ("plain", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TMPDIR": "/no/such"}),
    ],
)
def test_a_suite_is_planned_in_any_place(name: str, variables: dict[str, str], tmp_path: Path) -> None:
    """The byte order mark and line ends are those of an editor on Windows."""
    text = b"\xef\xbb\xbf" + SUITE.replace("\n", "\r\n").encode()
    done = dry_run(tmp_path / name, text, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    assert "cpu, 1 thread\n" in done.stdout
    assert "1 Cell to run, 0 skipped" in done.stdout


def test_a_folder_that_cannot_be_written_is_named_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as told:
        make_writable(tmp_path / "file", "the folder of Runs", "name another one")
    assert (
        str(told.value)
        == f"cannot write the folder of Runs {tmp_path / 'file'}: File exists; name another one"
    )
    with pytest.raises(StoreError, match=r"the Artifact cache .*; set HARNESS_CACHE to a folder"):
        Cache(tmp_path / "file").make()


def test_a_working_folder_that_is_gone_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert cli._unusable(FileNotFoundError(2, "No such file")).startswith("the working folder does not exist")


def test_no_folder_for_temporary_files_is_said() -> None:
    told = cli._unusable(FileNotFoundError(2, "No usable temporary directory found in ['/tmp']"))
    assert told.endswith("set TMPDIR to a folder that can be written")
    assert (
        cli._unusable(OSError(28, "No space left on device"))
        == "cannot use the output: No space left on device"
    )


def test_torchinductor_gets_a_folder_without_a_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit, odd = tmp_path / "plain", tmp_path / "a b"
    fit.mkdir()
    assert package.scratch(fit) == fit
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(fit))
    assert package.scratch(odd).parent == fit
    assert package.unfit(odd) == f"the path {odd} has a space"
