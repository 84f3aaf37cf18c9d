"""An exported model: its lines run it, its check fails where it must, and no file of others is lost."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny

from harness.errors import BuildError, HarnessError
from harness.formats.target import Target
from harness.runner.export import model as exporting
from harness.runner.export.check import apart, check
from harness.runner.export.model import CONTENTS, Exported, export_model, refuse_foreign
from harness.runner.export.texts import EXAMPLE, SCRIPT
from harness.runner.workers.evaluation_truth import write_evaluation_data
from harness.runtimes.registry import RUNTIMES

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A graph with two inputs, the model that it came from, and evaluation data."""
    folder, specs = tmp_path_factory.mktemp("model"), tiny.INPUTS["two_inputs"]
    source = tiny.source("two_inputs", folder / "source")
    (source.folder / "inputs.json").write_text(json.dumps([spec.model_dump() for spec in specs]))
    graph, _ = tiny.build("export-onnx", source, folder / "onnx", tiny.Context(specs))
    for artifact in (source, graph):
        artifact.write_manifest()
    (folder / "data").mkdir()
    write_evaluation_data(folder / "data", source, specs, None, "agreement", 0)
    return {"artifact": graph, "source": source, "data": folder / "data"}


def exported(made, folder: Path, **changes) -> Exported:
    about = {**made, "target": Target(batch=3, threads=1), "runtime": ("onnxruntime", {}), "folder": folder}
    about |= {"title": 'it\'s """odd""" \\N', "about": ["Measured well."]} | changes
    return export_model(**about)


def test_the_folder_holds_the_model_the_lines_that_run_it_and_what_it_gave_when_measured(made, tmp_path):
    folder = tmp_path / "a model's folder"
    done = exported(made, folder)
    assert done.difference == 0
    assert "exactly" in done.checked
    assert set(done.files) == {"model.onnx", SCRIPT, EXAMPLE, "README.txt"}
    assert {path.name for path in folder.iterdir()} == {*done.files, CONTENTS}
    card = (folder / "README.txt").read_text()
    assert "Measured well." in card
    assert "query: float32 (3, 4)" in card
    assert "key: float32 (3, 4)" in card
    with np.load(folder / EXAMPLE) as example:
        inputs, (output,) = [example["input_0"], example["input_1"]], [example["output_0"]]
    (expected,) = tiny.eager(made["source"], inputs)
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)
    assert not np.array_equal(inputs[0], inputs[1])
    shown = subprocess.run(
        [sys.executable, SCRIPT], cwd=folder, capture_output=True, text=True, check=True, env={"PATH": ""}
    )
    assert "largest difference 0" in shown.stdout


def test_the_lines_set_what_the_measured_session_sets(made, tmp_path):
    config = {"graph_optimization": "basic"}
    exported(made, tmp_path / "model", runtime=("onnxruntime", config), target=Target(batch=2, threads=2))
    ours = runpy.run_path(str(tmp_path / "model" / SCRIPT))["load"]()
    kind = RUNTIMES.get("onnxruntime")
    session = kind.open_session(kind.config(**config), made["artifact"], Target(batch=2, threads=2)).inner
    names = ("intra_op_num_threads", "inter_op_num_threads", "execution_mode", "graph_optimization_level")
    for name in names:
        theirs = getattr(session.get_session_options(), name)
        assert getattr(ours.get_session_options(), name) == theirs, name
    assert ours.get_providers() == session.get_providers()
    assert (
        [one.shape for one in ours.get_inputs()]
        == [one.shape for one in session.get_inputs()]
        == [[2, 4]] * 2
    )


def test_lines_that_give_other_outputs_are_an_error_and_leave_nothing(made, tmp_path, monkeypatch):
    kind = RUNTIMES.get("onnxruntime")

    def wrong(*about) -> str:
        return (
            kind.snippet(*about)
            .replace("model.run(", "[1.01 * one for one in model.run(")
            .replace("strict=True)))", "strict=True)))]")
        )

    monkeypatch.setattr(exporting, "RUNTIMES", {"onnxruntime": replace(kind, snippet=wrong)})
    with pytest.raises(
        BuildError, match=r"output 0 .* differs .* by 1\.0e-02 .*allowed: 0\.001.*nothing was"
    ):
        exported(made, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_runtime_without_lines_is_refused_before_any_file_is_written(made, tmp_path, monkeypatch):
    kind = replace(RUNTIMES.get("onnxruntime"), snippet=None)
    monkeypatch.setattr(exporting, "RUNTIMES", {"onnxruntime": kind})
    with pytest.raises(HarnessError, match="onnxruntime cannot be exported"):
        exported(made, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_an_export_replaces_an_earlier_one_and_refuses_every_other_file(made, tmp_path):
    folder = tmp_path / "model"
    exported(made, folder)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "run_model.pyc").write_bytes(b"")
    exported(made, folder, target=Target(batch=1, threads=1))
    with np.load(folder / EXAMPLE) as example:
        assert example["input_0"].shape == (1, 4)
    (folder / SCRIPT).write_text("mine\n")
    with pytest.raises(HarnessError, match=r"run_model\.py in it was changed since"):
        exported(made, folder)
    assert (folder / SCRIPT).read_text() == "mine\n"


def test_a_folder_with_other_files_is_refused(tmp_path):
    folder = tmp_path / "model"
    refuse_foreign(folder)
    folder.mkdir()
    refuse_foreign(folder)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(HarnessError, match=r"notes\.txt in it is no file of an exported model"):
        refuse_foreign(folder)
    with pytest.raises(HarnessError, match="is a file"):
        refuse_foreign(folder / "notes.txt")


def test_a_list_of_contents_names_no_file_outside_its_folder(tmp_path):
    folder, other = tmp_path / "model", tmp_path / "other.txt"
    folder.mkdir()
    other.write_text("mine")
    (folder / CONTENTS).write_text(json.dumps({"files": {"../other.txt": "0", str(other): "0", "a": "1"}}))
    assert exporting._own_files(folder) == {"a": "1"}


def written(folder: Path, lines: str) -> Path:
    """A folder with a script of these lines, and an example whose output is 0, 1, 2."""
    folder.mkdir()
    np.savez(folder / EXAMPLE, input_0=np.arange(3.0), output_0=np.arange(3.0))
    (folder / SCRIPT).write_text(f"import numpy as np\n{lines}")
    return folder


GOOD = "def main():\n    return [np.arange(3.0)]\n"


def test_the_check_runs_without_the_harness_unless_the_model_refers_to_code(tmp_path):
    assert check(written(tmp_path / "good", GOOD)) == 0
    needs = written(tmp_path / "needs", f"import harness.errors\n{GOOD}")
    with pytest.raises(
        BuildError, match=r"check .* failed, so nothing was exported: ModuleNotFoundError.*harness"
    ):
        check(needs)
    assert check(needs, [str(Path(exporting.__file__).parents[3])]) == 0


def test_the_check_finds_the_models_own_code_in_the_folders_that_are_given(tmp_path):
    (tmp_path / "my_own_nets.py").write_text("")
    folder = written(tmp_path / "model", f"import my_own_nets\n{GOOD}")
    with pytest.raises(BuildError, match="my_own_nets"):
        check(folder, [str(tmp_path / "elsewhere")])
    assert check(folder, [str(tmp_path)]) == 0


def test_a_process_that_dies_is_named(tmp_path):
    folder = written(tmp_path / "model", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    with pytest.raises(BuildError, match="SIGKILL"):
        check(folder)


@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0),
        ([1.0, np.nan], [1.0, np.nan], 0),
        ([1.001, 2.0], [1.0, 2.0], 5e-4),
        ([], [], 0),
    ],
)
def test_small_differences_are_told_relative_to_the_largest_value(mine, theirs, expected):
    assert apart([np.array(mine)], [np.array(theirs)]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("mine", "theirs", "message"),
    [
        ([np.array([1.0, 2.01])], [np.array([1.0, 2.0])], "differs"),
        ([np.array([1.0, np.nan])], [np.array([1.0, 2.0])], "differs"),
        ([np.array([3, 4])], [np.array([3, 5])], "differs"),
        ([np.zeros((2, 1))], [np.zeros((1, 2))], r"\(2, 1\).*\(1, 2\)"),
        ([np.zeros(2, np.float32)], [np.zeros(2)], "float32.*float64"),
        ([np.zeros(2)], [np.zeros(2), np.zeros(2)], "gives 1 outputs.*2"),
    ],
)
def test_other_outputs_are_refused(mine, theirs, message):
    with pytest.raises(BuildError, match=message):
        apart(mine, theirs)
