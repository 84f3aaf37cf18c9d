"""`harness export-model` on a real Run: each runtime's model loads and runs outside of the harness."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from bench import EAGER, MODELS, ONE_THREAD, ORT, Bench

pytestmark = pytest.mark.slow


def started(folder, **environment: str) -> str:
    """Run the script of an exported model as a user does."""
    outside = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | environment
    done = subprocess.run(
        [sys.executable, "run_model.py"], cwd=folder, env=outside, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_runtimes_model_runs_as_measured_after_it_was_moved(tmp_path) -> None:
    pytest.importorskip("openvino")
    bench = Bench(tmp_path)  # TorchInductor cannot compile in a folder with a space
    techniques = {
        **EAGER,
        "int8": [{"quantize": {"method": "dynamic"}}, {"runtime": "onnxruntime"}],
        "compiled": [{"runtime": "torch-compile"}],
        "vino": [{"runtime": "openvino"}],
    }
    suite = bench.suite({"net": "net"}, techniques, **ONE_THREAD)
    bench.harness("run", str(suite))
    for technique in techniques:
        out = bench.folder / f"the {technique}"
        told = bench.harness("export-model", "--cell", technique, "--out", str(out))
        assert "its outputs equal those of the measured Session exactly" in told
        moved = shutil.move(out, bench.folder / f"moved {technique}")
        needs = {"PYTHONPATH": str(MODELS)} if technique == "eager" else {}
        assert "output 0: shape (1, 4), float32; largest difference 0" in started(moved, **needs)
        card = (moved / "README.txt").read_text()
        assert "input: float32 (1, 16)" in card
        assert ("PYTHONPATH" in card) == (technique == "eager")
        assert f"Run: {bench.run().folder.name}" in card
    other = Bench(bench.folder, {"HARNESS_CACHE": str(bench.folder / "elsewhere")})
    told = other.harness("export-model", "--cell", "int8", "--out", str(bench.folder / "no"), code=4)
    assert "elsewhere does not hold what this Run measured" in told
    assert "harness run" in told
    assert not (bench.folder / "no").exists()


def test_a_replicated_model_is_exported_as_one_of_its_processes(bench: Bench, onnx_file) -> None:
    techniques = {"ort": ORT["ort"], "twice": [*ORT["ort"], {"replicate": {"replicas": 2}}]}
    bulk = {"bulk": {"scenario": "offline", "batch": 8}}
    models = {"net": {"onnx": onnx_file.name}}
    suite = bench.suite(models, techniques, bulk, hardware={"cpu": {"device": "cpu", "threads": 2}})
    bench.harness("run", str(suite))
    out = bench.folder / "model"
    bench.harness("export-model", "--cell", "twice", "--out", str(out))
    assert json.loads((out / "export.json").read_text())["target"]["threads"] == 1
    assert "the speed is that of 2 processes" in (out / "README.txt").read_text()
    with np.load(out / "example.npz") as example:
        assert example["output_0"].shape == (8, 4)


def test_an_export_that_is_no_longer_what_was_measured_is_refused(bench: Bench, onnx_file) -> None:
    suite = bench.suite({"net": {"onnx": onnx_file.name}}, ORT, **ONE_THREAD)
    bench.harness("run", str(suite))
    (record,) = [one for one in bench.run().records if one.arm == "baseline"]
    manifest = bench.folder / "cache" / "artifacts" / str(record.artifact_key) / "artifact.json"
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**content, "content_digest": "another build"}))
    told = bench.harness("export-model", "--cell", "ort", "--out", str(bench.folder / "model"), code=4)
    assert "was built again since this Run" in told
    told = bench.harness("export-model", "--out", str(bench.folder / "model"), code=2)
    assert "has no winner; choose a Cell with --cell, one of ort" in told
