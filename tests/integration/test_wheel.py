"""The wheel works without a checkout and without git, from an empty folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from bench import ONE_THREAD, ORT, QUICK, ROOT

from harness.store.reading import find

pytestmark = pytest.mark.slow
SOURCES = (
    "harness",
    "pyproject.toml",
    "setup.py",
    "README.md",
    "LICENSE",
    "suites/checkpoints",
    "suites/data",
)


def run(command: list[str], folder: Path, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the installed wheel and nothing else; nothing is downloaded."""
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:  # a copy, since a build leaves files behind
        source, place = ROOT / name, folder / "source" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, place)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    offline = ["--no-deps", "--no-index"]
    run([*pip, "wheel", *offline, "--no-build-isolation", "-w", "dist", "./source"], folder)
    (wheel,) = (folder / "dist").glob("*.whl")
    run([*pip, "install", *offline, "--target", "site", str(wheel)], folder)
    shutil.rmtree(folder / "source")
    return folder / "site"


def test_all_of_the_projects_data_checkpoints_and_templates_are_in_it(site: Path) -> None:
    for name, place in (
        ("suites/checkpoints", "harness/zoo/shipped/checkpoints"),
        ("suites/data", "harness/zoo/shipped/data"),
        ("harness/report/templates", "harness/report/templates"),
    ):
        ours = {p.relative_to(ROOT / name) for p in (ROOT / name).rglob("*") if p.is_file()}
        found = {p.relative_to(site / place) for p in (site / place).rglob("*") if p.is_file()}
        assert ours == found


def test_it_measures_reports_and_exports_in_an_empty_folder(
    site: Path, tmp_path: Path, onnx_file: Path
) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    shutil.copy(onnx_file, folder / "net.onnx")
    (folder / "nets.py").write_text(
        "import torch, harness\n"
        "def build():\n"
        f"    assert harness.__file__.startswith({str(site)!r}), harness.__file__\n"
        "    return torch.nn.Linear(16, 4)\n"
    )
    models = {
        "file": {"onnx": "net.onnx"},
        "ours": {"torch": "nets:build", "inputs": {"input": [16]}},
        "digits": {"zoo": "mnist-mlp"},
    }
    suite = {
        "suite": "mine",
        "models": models,
        "techniques": ORT,
        "quality": {"samples": 64},
        "workloads": {"online": {"scenario": "single-stream"}},
        **ONE_THREAD,
        "measure": QUICK,
    }
    (folder / "mine.yaml").write_text(yaml.safe_dump(suite))
    clean = {"PYTHONPATH": str(site), "HARNESS_CACHE": "", "PATH": str(Path(sys.executable).parent)}
    harness = [sys.executable, "-P", "-m", "harness.cli"]

    answer = run([*harness, "try", "net.onnx", "--time", "20s", "--out", "winner"], folder, **clean)
    assert (folder / "try-net.yaml").is_file()
    assert "your model in ONNX Runtime" in answer
    shutil.rmtree(folder / "results")

    where = run([sys.executable, "-P", "-c", "import harness; print(harness.__file__)"], folder, **clean)
    assert where.startswith(str(site))
    assert "export-model" in run([*harness, "--help"], folder, **clean)
    assert "onnxruntime" in run([*harness, "list"], folder, **clean)
    run([*harness, "run", "mine.yaml", "--report", "report"], folder, **clean)
    (made,), faults = find(folder / "results")
    assert faults == []
    assert made.info.repositories == []
    assert "nogit" in made.folder.name
    assert [record.status for record in made.records] == ["measured"] * 6
    assert (folder / "report" / "index.html").is_file()
    assert "| `ort` |" in run([*harness, "report", "--markdown"], folder, **clean)
    run([*harness, "export-model", "--cell", "file", "--out", "model"], folder, **clean)
    assert json.loads((folder / "model" / "export.json").read_text())["run"] == made.folder.name
    assert "Commit: unknown" in (folder / "model" / "README.txt").read_text()
