"""Inspection of an ONNX file at plan time, by a worker that is asked once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
import yaml
from onnx import TensorProto, helper
from test_runner_plan import PLACE, write_onnx

from harness.errors import DataError, WorkerError
from harness.formats.tensors import TensorSpec
from harness.runner.plan import Plan, make_plan
from harness.runner.workers import inspect as module
from harness.runner.workers.inspect import Inspector
from harness.suite.validation import read_suite
from harness.zoo.source import SOURCES

ORT = {"runtime": "onnxruntime"}


def write_graph(path: Path, shape: list[int | str | None], dtype: int = TensorProto.FLOAT) -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info("y", dtype, shape)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))


def plan(folder: Path, inspector: Inspector | None, **sections: Any) -> Plan:
    content = {
        "suite": "s",
        "models": {"m": {"onnx": "m.onnx"}},
        "workloads": {"w": {"scenario": "offline", "batch": 2}},
        "techniques": {"t": [ORT]},
        **sections,
    }
    (folder / "s.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return make_plan(read_suite(folder / "s.yaml"), PLACE, inspector)


def inspect(folder: Path, **fields: Any) -> dict[str, Any]:
    source = SOURCES.get("onnx")
    assert source.inspect is not None
    return source.inspect(source.config.model_validate({"onnx": "m.onnx", **fields}), folder)


def test_what_is_known_of_an_onnx_file(tmp_path: Path) -> None:
    write_onnx(tmp_path / "m.onnx")
    assert json.loads(json.dumps(inspect(tmp_path))) == {
        "inputs": [TensorSpec(name="x", shape=(4,)).model_dump(mode="json")],
        "graph_inputs": [{"name": "x", "dtype": "float32", "dims": ["n", 4]}],
        "outputs": [{"name": "y", "dtype": "float32", "dims": ["n", 3]}],
        "fixed_batch": None,
        "notices": [],
        "parameters": 12,
        "operators": {"MatMul": 1},
        "opsets": {"": 17},
    }


def test_dimensions_are_fixed_named_or_free(tmp_path: Path) -> None:
    write_graph(tmp_path / "m.onnx", [4, 3, "height", None])
    found = inspect(tmp_path, inputs={"x": [3, 8, 9]})
    assert found["graph_inputs"] == [{"name": "x", "dtype": "float32", "dims": [4, 3, "height", None]}]
    assert found["fixed_batch"] == 4
    assert found["inputs"][0]["shape"] == [3, 8, 9]


@pytest.mark.parametrize(
    ("shape", "given", "says"),
    [
        (["n", "l"], None, "m.onnx: free dimensions besides the batch in ONNX input 'x'"),
        (
            ["n", 4],
            {"x": [5]},
            r"m.onnx: input 'x' has shape \[5\]; the ONNX graph has \[4\] beside the batch",
        ),
        (["n", 4, None, "w"], {"x": [5, 1, 1]}, r"the ONNX graph has \[4, \?, w\] beside the batch"),
        (["n", 4], {"x": [4, 1]}, r"input 'x' has shape \[4, 1\]"),
        (["n", 4], {"x": {"shape": [4], "dtype": "int64"}}, "has dtype int64; the ONNX graph has float32"),
        (["n", 4], {"z": [4]}, "inputs name z; the ONNX graph has x"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(tmp_path: Path, shape: Any, given: Any, says: str) -> None:
    write_graph(tmp_path / "m.onnx", shape)
    with pytest.raises(DataError, match=says):
        inspect(tmp_path, inputs=given)


# ------------------------------------------------------------------ with a real worker


def test_a_plan_names_the_file_and_the_model_that_cannot_be_used(tmp_path: Path) -> None:
    write_graph(tmp_path / "m.onnx", ["n", "length"])
    write_graph(tmp_path / "fixed.onnx", [4, 3])
    models = {"m": {"onnx": "m.onnx"}, "four": {"onnx": "fixed.onnx"}}
    with Inspector(tmp_path / "cache", tmp_path) as inspector:
        made = plan(tmp_path, inspector, models=models)
    assert [str(problem) for problem in made.problems] == [
        f"{tmp_path / 's.yaml'}:4: models.m.onnx: m.onnx: free dimensions besides the batch in ONNX "
        "input 'x' [n, length]; add, with your sizes, dims: {length: 128}"
    ]
    skips = {planned.cell.model.name: planned.skip for planned in made.cells.values()}
    assert skips == {"m": None, "four": "the model's batch is fixed to 4; the workload's is 2"}
    assert made.inspections["four"]["fixed_batch"] == 4


def test_a_model_is_inspected_once_as_long_as_the_model_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_onnx(tmp_path / "m.onnx")
    with Inspector(tmp_path / "cache", tmp_path) as inspector:
        first = plan(tmp_path, inspector).inspections
    assert first["m"]["parameters"] == 12

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a worker was started")

    with monkeypatch.context() as patch, Inspector(tmp_path / "cache", tmp_path) as inspector:
        patch.setattr(module, "Worker", refuse)
        assert plan(tmp_path, inspector).inspections == first
        write_onnx(tmp_path / "m.onnx", seed=1)
        with pytest.raises(AssertionError, match="a worker was started"):
            plan(tmp_path, inspector)
        assert (
            plan(tmp_path, inspector, models={"m": {"zoo": "mnist-mlp"}, "f": {"zoo": "mnist-cnn"}}).problems
            == []
        )


def test_a_worker_that_fails_leaves_the_model_to_its_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_onnx(tmp_path / "m.onnx")

    def dies(*_: Any, **__: Any) -> None:
        raise WorkerError("was ended by SIGKILL")

    monkeypatch.setattr(module, "Worker", dies)
    with Inspector(tmp_path / "cache", tmp_path) as inspector:
        made = plan(tmp_path, inspector)
    assert made.problems == []
    assert made.inspections == {"m": {}}
    assert [planned.skip for planned in made.cells.values()] == [None]


def test_a_worker_that_dies_costs_one_model_its_inspection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_onnx(tmp_path / "m.onnx")
    write_onnx(tmp_path / "n.onnx", seed=1)
    started: list[Any] = []

    class Dying(module.Worker):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            started.append(self)
            if len(started) == 1:
                self.kill()

    monkeypatch.setattr(module, "Worker", Dying)
    with Inspector(tmp_path / "cache", tmp_path) as inspector:
        made = plan(tmp_path, inspector, models={"m": {"onnx": "m.onnx"}, "n": {"onnx": "n.onnx"}})
    assert made.inspections["m"] == {}
    assert made.inspections["n"]["parameters"] == 12
    assert len(started) == 2


def test_a_cache_that_cannot_be_written_or_holds_nonsense_is_no_error(tmp_path: Path) -> None:
    write_onnx(tmp_path / "m.onnx")
    (tmp_path / "cache").write_text("a file where the folder should be")
    with Inspector(tmp_path / "cache", tmp_path) as inspector:
        assert plan(tmp_path, inspector).inspections["m"]["parameters"] == 12
    cache = tmp_path / "other"
    for nonsense in ("", "{", "3"):
        for file in cache.rglob("*.json"):
            file.write_text(nonsense)
        with Inspector(cache, tmp_path) as inspector:
            assert plan(tmp_path, inspector).inspections["m"]["parameters"] == 12


def test_a_dry_run_tells_it_and_imports_no_ml_library(tmp_path: Path) -> None:
    write_graph(tmp_path / "m.onnx", ["n", "length"])
    write_onnx(tmp_path / "good.onnx")
    plan(
        tmp_path,
        None,
        models={"m": {"onnx": "m.onnx"}, "good": {"onnx": "good.onnx"}},
        hardware={"cpu": {"threads": 1}},
    )
    code = (
        "import sys; from harness.cli import main\nsys.argv = ['harness', 'run', 's.yaml', '--dry-run']\n"
        "try:\n    ended = main()\n"
        "except SystemExit as error:\n    ended = error.code\n"
        "print('ended', int(ended or 0), sorted({'torch', 'onnx', 'onnxruntime'} & set(sys.modules)))\n"
    )
    root = str(Path(module.__file__).resolve().parents[3])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": root, "HARNESS_CACHE": str(tmp_path / "cache"), "COLUMNS": "300"},
    )
    assert done.stdout.splitlines()[-1] == "ended 2 []"
    (line,) = [line for line in done.stderr.splitlines() if "free dimensions" in line]
    assert line.startswith("error: s.yaml:4: models.m.onnx: m.onnx: ")


def test_models_of_the_zoo_are_known_without_an_inspection() -> None:
    assert SOURCES.get("zoo").inspect is None
