"""`make`: what it hands to the command line."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

OUTER = {"SUITE", "ARGS", "VENV", "PYTHON", "MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "MAKELEVEL"}
"""What a make that runs the tests hands down."""

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")


def make(tmp_path: Path, *arguments: str) -> list[str]:
    """Run make with an environment that is ready and whose programs print their arguments, a line each."""
    (tmp_path / "bin").mkdir()
    printing = "#!/bin/sh\nprintf '%s\\n' \"$@\"\n"
    for name, text in (("bin/harness", printing), ("bin/python", printing), (".ready", "")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name not in OUTER}
    command = ["make", "--no-print-directory", f"VENV={tmp_path}", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize("suite", ["suites/qat.yaml", '/a b/it\'s "mine" ü.v2.yaml'])
def test_a_suite_may_lie_anywhere(tmp_path: Path, suite: str) -> None:
    report = f"reports/{Path(suite).stem}"
    assert make(tmp_path, "bench", f"SUITE={suite}") == ["run", suite, "--report", report]


def test_the_digits_are_the_suite_by_default(tmp_path: Path) -> None:
    told = make(tmp_path, "bench", "ARGS=--dry-run -q")
    assert told == ["run", "suites/digits.yaml", "--report", "reports/digits", "--dry-run", "-q"]


def test_pytest_runs_once_with_workers_and_what_is_asked_comes_last(tmp_path: Path) -> None:
    told = make(tmp_path, "unit", "ARGS=-k memory -n 0")
    assert told.count("pytest") == 1
    assert "-n" in told[:-4]
    assert told[-4:] == ["-k", "memory", "-n", "0"]
