"""Suite files for tests: a small valid one, and what is laid over it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from harness.errors import Problem, SuiteError
from harness.runner.progress import Observer
from harness.suite.validation import CheckedSuite, read_suite

TEXT = """\
suite: small
models:
  mlp: {zoo: mnist-mlp}
  cnn: {zoo: mnist-cnn}
workloads:
  online: {scenario: single-stream}
  bulk: {scenario: offline, batch: 8}
hardware:
  cpu: {device: cpu, threads: 1}
techniques:
  eager: [{runtime: torch-eager}]
  ort: [{runtime: onnxruntime}]
  int8: [{quantize: {method: static}}, {runtime: onnxruntime}]
"""


class NoObserver(Observer):
    """Shows nothing."""


def content(**sections: Any) -> dict[str, Any]:
    """The small suite's data, sections replaced; None takes one away."""
    data = {**yaml.safe_load(TEXT), **sections}
    return {key: value for key, value in data.items() if value is not None}


def write(folder: Path, data: dict[str, Any] | str, name: str = "s.yaml") -> Path:
    """Write a suite file and return its path."""
    path = folder / name
    text = data if isinstance(data, str) else yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    path.write_text(text, encoding="utf-8")
    return path


def read(folder: Path, data: dict[str, Any] | str, name: str = "s.yaml") -> CheckedSuite:
    """Write a suite and read it."""
    return read_suite(write(folder, data, name))


def problems(folder: Path, data: dict[str, Any] | str, name: str = "s.yaml") -> list[Problem]:
    """All problems of a suite that has some."""
    try:
        read(folder, data, name)
    except SuiteError as error:
        return list(error.problems)
    raise AssertionError("the suite was not refused")


def told(folder: Path, data: dict[str, Any] | str) -> list[str]:
    """The problems as they are printed, without the folder."""
    return [str(problem).replace(f"{folder}/", "") for problem in problems(folder, data)]
