"""What a user waits for before anything is measured. Timed, not asserted: a shared machine would fail it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from harness.suite.matrix import expand
from harness.suite.validation import read_suite

ROOT = Path(__file__).resolve().parents[2]
HARNESS = [sys.executable, "-m", "harness.cli"]


@pytest.mark.parametrize("arguments", [["--help"], ["list"]], ids=["help", "list"])
def test_perf_command(benchmark, arguments):
    """Goals: `harness --help` in 0.3 s, `harness list` in 1 s, on two cores."""
    command = [*HARNESS, *arguments]
    benchmark.pedantic(
        lambda: subprocess.run(command, cwd=ROOT, check=True, capture_output=True), rounds=5, warmup_rounds=1
    )


def matrix() -> dict:
    """2 models × 50 workloads × 10 kinds of hardware × 10 techniques, with patterns: 10,000 Cells."""
    levels = ("disabled", "basic", "extended", "all")
    ort = [{"runtime": {"name": "onnxruntime", "graph_optimization": level}} for level in levels]
    techniques = {f"ort-{level}": [step] for level, step in zip(levels, ort, strict=True)}
    techniques |= {
        f"fp16-{level}": [{"precision": "fp16"}, step] for level, step in zip(levels, ort, strict=True)
    }
    techniques |= {"eager": [{"runtime": "torch-eager"}], "compile": [{"runtime": "torch-compile"}]}
    return {
        "suite": "ten thousand",
        "models": {"mlp": {"zoo": "mnist-mlp"}, "cnn": {"zoo": "mnist-cnn"}},
        "workloads": {f"b{batch}": {"scenario": "offline", "batch": batch} for batch in range(1, 51)},
        "hardware": {f"t{threads}": {"threads": threads} for threads in range(1, 11)},
        "techniques": techniques,
        "exclude": [{"technique": "fp16-*", "workload": "b1?", "model": "cnn"}],
        "include": [{"hardware": ["t1", "t1*"]}, {"workload": "b1?"}],
    }


def test_perf_ten_thousand_cells(benchmark, tmp_path):
    """Goal: reading, checking and expanding a suite of 10,000 Cells in 2 s."""
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump(matrix(), sort_keys=False))
    groups = benchmark.pedantic(lambda: expand(read_suite(path)), rounds=5, warmup_rounds=1)
    assert sum(len(group.cells) for group in groups) == 10_000
