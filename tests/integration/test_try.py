"""`harness try` from a model's name to the exported winner, with real workers."""

from __future__ import annotations

import json
from pathlib import Path

from bench import Bench

from harness.report.terminal import LEGEND
from harness.suite.validation import read_suite


def test_a_model_is_recognized_measured_and_answered_and_a_second_time_nothing_is_built(
    bench: Bench, onnx_file: Path
) -> None:
    told = bench.harness("try", onnx_file.name, "--time", "20s", "--max-drop", "100pt")
    assert "inputs: input float32 [batch, 16]" in told
    assert "suite: try-my net.yaml (written" in told
    assert "your model in ONNX Runtime" in told and LEGEND in told
    assert (bench.folder / "reports" / "try-my net" / "index.html").is_file()
    run = bench.run()
    assert run.info.suite == "try-my net"
    suite = read_suite(bench.folder / "try-my net.yaml")
    measured = {row.technique for row in run.records if row.status == "measured"}
    assert suite.baseline == "onnxruntime" and "onnxruntime" in measured and len(measured) > 1
    assert {row.arm for row in run.records} == {"baseline", "control", "subject"}
    exported = bench.folder / "try-my net" / "run_model.py"
    assert exported.exists() == ("from run_model import load, run" in told)

    again = bench.harness("try", onnx_file.name, "--time", "6s", "--max-drop", "100pt")
    assert "there already, with the same content" in again
    _, second = bench.runs()
    events = [json.loads(line)["event"] for line in (second.folder / "log.jsonl").read_text().splitlines()]
    assert "trial-done" in events and "built" not in events


def test_a_wrong_option_is_one_line_and_writes_nothing(bench: Bench, onnx_file: Path) -> None:
    said = bench.harness("try", onnx_file.name, "--time", "1s", "--metric", "no-such-metric", code=2)
    assert said.startswith("error: --metric: ") and said.count("\n") == 1
    assert not (bench.folder / "try-my net.yaml").exists()
