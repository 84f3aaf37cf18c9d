"""`harness try`: which techniques it chooses for a model, and the suite file that it writes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper
from test_runner_plan import PLACE, write_onnx

from harness.errors import ExitCode, HarnessError, SuiteError
from harness.runner.plan import Plan
from harness.suite.validation import read_suite
from harness.try_model import prepare as preparing
from harness.try_model.candidates import CANDIDATES, GOALS, Candidate, for_goal
from harness.try_model.found import found
from harness.try_model.prepare import NothingFitsError, Options, Prepared, prepare
from harness.try_model.suite_text import Wanted, name_of, suite_text


class Here:
    """The inspection worker's answer without a process; models other than ONNX files are not inspected."""

    def __init__(self, *_: object) -> None:
        pass

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def inspect(self, model: Any) -> dict[str, Any]:
        if model.source.key != "onnx" or model.source.inspect is None:
            return {}
        found: dict[str, Any] = model.source.inspect(model.config, Path.cwd())
        return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder on a machine of two cores, with everything installed."""
    write_onnx(tmp_path / "m.onnx")
    (tmp_path / "nets.py").write_text("def build(): ...\ndef data(split): ...\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(preparing, "Inspector", Here)
    monkeypatch.setattr(preparing, "this_place", lambda: (PLACE, None))
    return tmp_path


def tried(argument: str = "m.onnx", goal: str = "latency", **options: Any) -> Prepared:
    return prepare(Options(argument, GOALS[goal], **options))


def names(plan: Plan) -> list[str]:
    assert all(planned.skip is None for planned in plan.cells.values())
    return [planned.cell.pipeline.name for planned in plan.cells.values()]


def test_an_onnx_file_is_compared_with_itself_in_onnx_runtime(folder: Path) -> None:
    made = tried()
    assert made.plan.suite.baseline == "onnxruntime" == names(made.plan)[0]
    assert {"openvino", "int8-dynamic"} <= {*names(made.plan)}
    assert made.left_out["eager"] == "not for models in the format onnx"
    assert made.left_out["int8-static"] == "needs samples to calibrate with: give --data"
    assert not {*names(made.plan)} & {*made.left_out}


def test_a_module_is_compared_with_itself_in_eager_pytorch_and_onnx_runtime_is_beside_it(
    folder: Path,
) -> None:
    (folder / "nets.py").write_text("example_inputs = {'x': [4]}\ndef build(): ...\n")
    made = tried("nets:build")
    assert made.plan.suite.baseline == "eager" == names(made.plan)[0]
    assert {"onnxruntime", "compile", "int4-weights"} <= {*names(made.plan)}


def test_data_lets_calibrated_techniques_take_part(folder: Path) -> None:
    made = tried(data="nets:data", metric="top-1")
    assert "int8-static" in names(made.plan)
    (model,) = made.plan.suite.models.values()
    assert (model.config.dataset, model.config.metric) == ("nets:data", "top-1")


def test_cheap_builds_come_first_and_a_goal_has_its_own_candidates_and_workload(folder: Path) -> None:
    for goal in GOALS.values():
        costs = [one.build_s for one in for_goal(goal)]
        assert costs == sorted(costs)
    cells = tried(goal="throughput").plan.cells.values()
    assert {(cell.cell.workload.scenario, cell.cell.workload.batch) for cell in cells} == {("offline", 16)}
    assert "replicas-2" in [planned.cell.pipeline.name for planned in cells]
    assert "replicas-2" not in names(tried(suite=Path("b.yaml")).plan)
    assert "int8-weights" in names(tried(goal="size", suite=Path("c.yaml")).plan)


def test_a_graph_without_dense_layers_is_not_given_what_only_helps_these(folder: Path) -> None:
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 4]) for n in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", values[:1], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), str(folder / "r.onnx"))
    made = tried("r.onnx")
    assert "the graph has no MatMul" in made.left_out["int4-weights"]
    assert "openvino" in names(made.plan)


def test_every_candidate_is_a_valid_technique_and_no_two_are_the_same(folder: Path) -> None:
    wanted = Wanted("m.onnx", "m", {"onnx": "m.onnx"}, GOALS["latency"], 1, "0.5pt")
    checked = read_suite(Path("all.yaml"), suite_text(wanted, CANDIDATES, "eager"))
    assert [*checked.pipelines] == [one.name for one in CANDIDATES]


def test_a_batch_that_the_model_fixes_is_the_workloads(folder: Path) -> None:
    shape = [3, 4]
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("x", "y")]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", values[:1], values[1:])
    weights = helper.make_tensor("w", TensorProto.FLOAT, [4, 4], [0.5] * 16)
    graph.initializer.append(weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), str(folder / "f.onnx"))
    assert {planned.cell.workload.batch for planned in tried("f.onnx").plan.cells.values()} == {3}
    with pytest.raises(NothingFitsError, match="batch is fixed to 3; the workload's is 2") as caught:
        tried("f.onnx", batch=2, suite=Path("two.yaml"))
    assert caught.value.exit_code == ExitCode.NOTHING_MEASURED
    assert not (folder / "two.yaml").exists()


def test_the_file_says_what_is_left_out_and_can_be_run_from_another_folder(folder: Path) -> None:
    (folder / "suites").mkdir()
    made = tried(suite=Path("suites/mine.yaml"), data="nets.py:data")
    text = (folder / "suites" / "mine.yaml").read_text()
    assert "#   eager: not for models in the format onnx" in text
    again = read_suite(made.path)
    assert again.models["m"].config.onnx == "../m.onnx"
    assert again.models["m"].config.dataset == "../nets.py:data"


def test_a_name_with_spaces_and_marks_is_quoted(folder: Path) -> None:
    odd = "my net: v2 #1.onnx"
    write_onnx(folder / odd)
    made = tried(odd)
    assert made.path == Path("try-my net- v2 #1.yaml")
    assert read_suite(made.path).models["my net- v2 #1"].config.onnx == odd
    assert (name_of("nets:build", folder), name_of("owner/net", folder)) == ("nets-build", "net")
    assert name_of("nets.py:build", folder) == "nets-build"


def test_a_file_is_reused_written_anew_or_left_as_the_user_edited_it(folder: Path) -> None:
    assert tried().state == "new"
    assert tried().state == "same"
    assert tried(max_drop="1pt").state == "changed"
    path = folder / "try-m.yaml"
    edited = path.read_text().replace("max_drop: 1pt", "max_drop: 2pt")
    path.write_text(edited)
    made = tried(max_drop="0.1pt", goal="size")
    assert (made.state, path.read_text()) == ("edited", edited)
    assert made.plan.suite.spec.quality.max_drop == 2.0


def test_a_file_of_another_origin_or_for_another_model_is_never_overwritten(folder: Path) -> None:
    path = folder / "try-m.yaml"
    path.write_text("suite: mine\n")
    with pytest.raises(HarnessError, match=r"try-m\.yaml is not a file of `harness try`; .* --suite"):
        tried()
    assert path.read_text() == "suite: mine\n"
    path.unlink()
    tried()
    path.write_text(path.read_text().replace("0.5pt", "9pt"))
    (folder / "other").mkdir()
    write_onnx(folder / "other" / "m.onnx", seed=1)
    with pytest.raises(HarnessError, match="edited for another model"):
        tried("other/m.onnx")


def test_a_folder_that_cannot_be_written_is_one_line_with_the_remedy(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr("harness.try_model.suite_text.replace_file", refuse)
    with pytest.raises(
        HarnessError, match=r"^try-m\.yaml cannot be written: Read-only file system; .*--suite$"
    ):
        tried()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"argument": "gone.onnx"}, "gone.onnx"),
        ({"data": "nothing-like-this"}, "^--data: "),
        ({"metric": "topp-1"}, "^--metric: .*top-1"),
        ({"max_drop": "half"}, "^--max-drop: .*half"),
        ({"suite": Path("none/s.yaml")}, "--suite none/s.yaml: its folder does not exist"),
    ],
)
def test_bad_input_is_one_line_that_names_the_option(
    folder: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(HarnessError, match=said) as caught:
        tried(**options)
    assert "\n" not in str(caught.value)
    assert not [*folder.glob("try-*")]


def test_a_model_that_the_plan_refuses_leaves_a_file_to_edit(folder: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "length", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "length", 4])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), str(folder / "v.onnx"))
    made = tried("v.onnx")
    if not made.plan.problems:
        pytest.skip("free dimensions are filled")
    problem = made.plan.problems[0]
    assert problem.line == 1 + (folder / "try-v.yaml").read_text().splitlines().index("models:") + 1
    with pytest.raises(SuiteError, match=r"try-v\.yaml:"):
        raise SuiteError(made.plan.problems)


def test_what_was_found_names_inputs_outputs_and_the_batch(folder: Path) -> None:
    model = tried().plan.suite.models["m"]
    inspection = model.source.inspect(model.config, folder)  # type: ignore[misc]
    first, inputs, outputs = found(model, inspection, folder)
    assert first.startswith("m: an ONNX file, ") and "12 parameters; opset 17" in first
    assert (inputs, outputs) == ("inputs: x float32 [batch, 4]", "outputs: y float32 [batch, 3]")
    fixed = found(model, {**inspection, "fixed_batch": 8}, folder)
    assert fixed[1] == "inputs: x float32 [8, 4]" and fixed[-1] == "its batch is fixed to 8"
    axis = {**inspection, "inputs": [{**inspection["inputs"][0], "batch_axis": 1}]}
    assert found(model, axis, folder)[1] == "inputs: x float32 [4, batch]"
    assert len(found(model, {}, folder)) == 1


def test_candidates_are_data_so_that_a_new_one_needs_no_other_code(folder: Path) -> None:
    one = Candidate("mine", ({"precision": "fp16"}, {"runtime": "onnxruntime"}), "a test", 1)
    assert for_goal(GOALS["size"], [one, replace(one, name="not", goals=("latency",))]) == [one]
