"""The Plan: why a Cell is skipped, and what an Artifact's address depends on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from harness import packages as versions
from harness.artifacts.cache import Cache
from harness.errors import HarnessError, SuiteError
from harness.measure.scenarios.registry import SCENARIOS
from harness.runner import addresses as module
from harness.runner.plan import GUESS_AROUND_S, Place, Plan, make_plan
from harness.suite.validation import read_suite
from harness.techniques import registry
from harness.techniques.registry import TRANSFORMS

PLACE = Place(
    cores=(0, 1), cuda_missing="there is no GPU", cpu_features=frozenset({"avx2"}), machine_id="here"
)
QUANTIZE = {"quantize": {"method": "dynamic"}}
ORT = {"runtime": "onnxruntime"}


def write_onnx(path: Path, seed: int = 0) -> None:
    weights = np.random.default_rng(seed).standard_normal((4, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(weights, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), str(path))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_onnx(tmp_path / "m.onnx")
    (tmp_path / "my_code.py").write_text("def build(): ...\ndef data(split): ...\n")
    return tmp_path


def plan(folder: Path, place: Place = PLACE, **sections: Any) -> Plan:
    content = {
        "suite": "s",
        "models": {"m": {"onnx": "m.onnx"}},
        "workloads": {"w": {"scenario": "single-stream"}},
        "techniques": {"t": [ORT]},
        **sections,
    }
    (folder / "s.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return make_plan(read_suite(folder / "s.yaml"), place)


def skip(made: Plan) -> str | None:
    (planned,) = made.cells.values()
    return planned.skip


def key(made: Plan) -> str:
    (planned,) = made.cells.values()
    assert planned.skip is None
    return planned.artifact_key


FACTORY = {"torch": "my_code:build", "inputs": {"x": [4]}}


@pytest.mark.parametrize(
    ("sections", "reason"),
    [
        ({"hardware": {"gpu": {"device": "cuda"}}}, "there is no GPU"),
        ({"hardware": {"cpu": {"threads": 3}}}, "wants 3 threads; this process is given 2 cores"),
        (
            {"techniques": {"t": [ORT, {"replicate": {"replicas": 2}}]}},
            "replicate works only in the scenario offline",
        ),
        (
            {
                "techniques": {"t": [ORT, {"replicate": {"replicas": 3}}]},
                "workloads": {"w": {"scenario": "offline"}},
            },
            "3 replicas need as many threads; the budget is 2",
        ),
        (
            {
                "techniques": {"t": [ORT, {"replicate": {"replicas": 2}}]},
                "workloads": {"w": {"scenario": "offline"}},
                "hardware": {"cpu": {"threads": 1}},
            },
            "2 replicas need as many threads; the budget is 1",
        ),
        (
            {"techniques": {"t": [{"runtime": "torch-eager"}]}},
            "not for this model: the runtime torch-eager takes",
        ),
        (
            {"techniques": {"t": [{"quantize": {"method": "static"}}, ORT]}},
            "quantize/static needs training data; give the model a dataset",
        ),
    ],
)
def test_a_cell_that_cannot_run_says_why(folder: Path, sections: dict[str, Any], reason: str) -> None:
    made = plan(folder, **sections)
    assert reason in (skip(made) or "")
    assert made.jobs == {}
    assert made.runnable(made.groups[0]) == []


TWO_SOCKETS = replace(
    PLACE,
    cores=(*range(8), *range(8, 16)),
    nodes=tuple(tuple((core, core + 8) for core in range(first, first + 4)) for first in (0, 4)),
)
"""2 NUMA nodes × 4 physical cores × 2 hardware threads; the sibling of core 3 is core 11."""


def targets(folder: Path, threads: int | str, replicas: int = 1) -> tuple[tuple[int, ...], str | None]:
    """The cores of a Cell on that machine, and why it is skipped."""
    deployment = [{"replicate": {"replicas": replicas}}] if replicas > 1 else []
    made = plan(
        folder,
        TWO_SOCKETS,
        workloads={"w": {"scenario": "offline"}},
        hardware={"cpu": {"threads": threads}},
        techniques={"t": [ORT, *deployment]},
    )
    (planned,) = made.cells.values()
    return planned.target.cores, planned.skip


def test_all_threads_are_one_a_physical_core_and_logical_ones_one_a_hardware_thread(folder: Path) -> None:
    assert targets(folder, "all") == (tuple(range(8)), None)
    assert targets(folder, "logical") == (tuple(range(16)), None)
    assert targets(folder, 9) == (tuple(range(9)), None)
    assert targets(folder, 6, replicas=2) == ((0, 1, 2, 4, 5, 6), None)
    limited = replace(TWO_SOCKETS, cores=(0, 1, 2))  # a cgroup's quota of three cores
    assert (limited.threads("all"), limited.threads("logical")) == (3, 3)
    assert (PLACE.threads("all"), PLACE.threads("logical")) == (2, 2)


def test_threads_that_replicas_cannot_share_are_refused_with_what_is_allowed(folder: Path) -> None:
    assert targets(folder, 6, replicas=4)[1] == (
        "6 threads cannot be divided equally over 4 replicas; "
        "allowed: 2 or 3 or 6 replicas, or a multiple of 4 threads"
    )
    assert targets(folder, "logical", replicas=16)[1] == (
        "16 replicas of 1 thread would have to share physical cores"
    )


def test_a_runtime_may_say_why_its_settings_do_not_fit_a_cell(folder: Path) -> None:
    pytest.importorskip("openvino")
    made = plan(folder, techniques={"t": [{"runtime": {"name": "openvino", "streams": 2}}]})
    assert skip(made) == "streams of OpenVINO work only in the scenario offline, and not in replicas"


def test_a_cell_whose_packages_are_not_installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = replace(TRANSFORMS.get("quantize/dynamic"), packages=("no-such-package",), extra="more")
    monkeypatch.setitem(TRANSFORMS._items, "quantize/dynamic", step)
    reason = skip(plan(folder, techniques={"t": [QUANTIZE, ORT]}))
    assert reason == "no-such-package is not installed: pip install 'accel-harness[more]'"


def test_a_model_whose_packages_are_not_installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = versions.importlib.util.find_spec
    gone = {"transformers"}
    monkeypatch.setattr(
        versions.importlib.util, "find_spec", lambda name, *rest: None if name in gone else real(name, *rest)
    )
    made = plan(folder, models={"m": {"hf": "owner/name", "task": "fill-mask"}})
    assert skip(made) == "transformers is not installed: pip install 'accel-harness[hf]'"


def test_a_scenario_whose_library_is_not_installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SCENARIOS.get("server")
    entry = replace(SCENARIOS.get("loadgen-server"), imports=("no_such_loadgen",))
    monkeypatch.setitem(SCENARIOS._items, "loadgen-server", entry)
    made = plan(folder, workloads={"w": {"scenario": "loadgen-server", "qps": 5}})
    assert skip(made) == "no_such_loadgen is not installed: pip install 'accel-harness[loadgen]'"


def test_a_search_is_part_of_the_time_it_will_take(folder: Path, tmp_path: Path) -> None:
    def measure_s(**options: Any) -> float:
        made = plan(folder, workloads={"w": {"scenario": "server", **options}}, measure={"trials": 3})
        return made.estimate_s(Cache(tmp_path / "cache"))[1]

    given = measure_s(qps=1000)
    arms = 2  # the baseline and its control
    assert measure_s(latency_bound="1ms", search_time=7) == pytest.approx(given + arms * 3 * 7)


def test_the_queries_that_a_percentile_takes_are_part_of_the_time(folder: Path, tmp_path: Path) -> None:
    """At a bound of 1 s a Block of server takes at least 25.7 s (√662): two in each Trial, one to search."""

    def measure_s(trials: object, **options: Any) -> float:
        measure = {"trials": trials, "max_time": 10, "block_time": 0.2, "warmup_time": 2}
        made = plan(folder, workloads={"w": {"scenario": "server", **options}}, measure=measure)
        return made.estimate_s(Cache(tmp_path / "cache"))[1]

    block_s = 662**0.5
    each = 1.0 + 2.0 + block_s  # start, warm-up, search
    timed = 3 * 2 * block_s
    expected = 2 * (3 * each + timed + 3 * 2 * GUESS_AROUND_S)
    assert measure_s(3, latency_bound=1, search_time=7) == pytest.approx(expected)
    once = 2 * (5 * each + 2 * block_s + 2 * GUESS_AROUND_S)  # `auto` ends when max_time is used up
    assert measure_s("auto", latency_bound=1, search_time=7) == pytest.approx(once)
    slow = 2 * (3 * 3.0 + 3 * 2 * 5.0 + 6 * GUESS_AROUND_S)  # 2 queries a second: 10 take 5 s
    assert measure_s(3, qps=2) == pytest.approx(slow)


def test_parents_come_before_their_children(folder: Path) -> None:
    made = plan(
        folder,
        models={"m": {"onnx": "m.onnx"}, "f": FACTORY},
        techniques={"t": [ORT], "q": [QUANTIZE, ORT], "e": [{"runtime": "torch-eager"}]},
    )
    seen: set[str] = set()
    for address, job in made.jobs.items():
        assert set(job.parents) <= seen
        seen.add(address)
    assert made.source_key(made.groups[0].cells[0].model) in seen


def test_a_plan_grows_by_one_cell(folder: Path) -> None:
    whole = plan(folder, techniques={"t": [ORT], "q": [QUANTIZE, ORT]})
    first, second = whole.groups[0].cells
    made = Plan(whole.suite, whole.place)
    assert made.add(first).artifact_key == whole.cells[first.cell_id].artifact_key
    before = dict(made.jobs)
    added = made.add(second)
    assert list(made.jobs) == [*before, added.artifact_key]
    assert [cell.cell_id for cell in made.groups[0].cells] == [first.cell_id, second.cell_id]
    assert (made.cells, made.jobs, made.data_keys) == (whole.cells, whole.jobs, whole.data_keys)
    assert made.add(second) is added
    assert len(made.groups) == 1
    assert len(made.groups[0].cells) == 2


def test_a_cell_that_cannot_run_is_added_with_its_reason(folder: Path) -> None:
    made = plan(folder)
    jobs = dict(made.jobs)
    (cell,) = plan(folder, hardware={"gpu": {"device": "cuda"}}).groups[0].cells
    assert made.add(cell).skip == "there is no GPU"
    assert made.jobs == jobs
    assert [len(group.cells) for group in made.groups] == [1, 1]


def test_another_model_of_the_same_name_is_not_added(folder: Path) -> None:
    made = plan(folder)
    write_onnx(folder / "other.onnx", seed=1)
    (cell,) = plan(folder, models={"m": {"onnx": "other.onnx"}}).groups[0].cells
    assert cell.model.name in made.data_keys
    with pytest.raises(HarnessError, match="the Plan has another model called 'm'"):
        made.add(cell)
    assert cell.cell_id not in made.cells


def test_the_same_content_has_the_same_address_whatever_its_name(folder: Path) -> None:
    one = plan(folder, techniques={"t": [QUANTIZE, ORT]})
    other = plan(folder, suite="other", techniques={"u": [QUANTIZE, ORT]}, models={"x": {"onnx": "m.onnx"}})
    assert key(one) == key(other)


def test_workloads_share_artifacts_where_nothing_specializes(folder: Path) -> None:
    made = plan(
        folder,
        workloads={"a": {"scenario": "single-stream"}, "b": {"scenario": "offline", "batch": 8}},
        techniques={"t": [QUANTIZE, ORT]},
    )
    assert len({planned.artifact_key for planned in made.cells.values()}) == 1
    assert sorted(job.kind for job in made.jobs.values()) == ["data", "source", "step"]


def quantized(folder: Path, place: Place = PLACE, **sections: Any) -> str:
    return key(plan(folder, place, **{"techniques": {"t": [QUANTIZE, ORT]}, **sections}))


def test_an_address_follows_what_a_setting_comes_to_on_this_machine(folder: Path) -> None:
    """Two machines whose processors resolve it alike share the Artifact; one that does not makes its own."""
    vnni = replace(PLACE, cpu_features=frozenset({"avx2", "avx512_vnni"}))
    other = replace(PLACE, cpu_features=frozenset({"avx2", "avx_vnni"}), machine_id="other")
    plain = replace(PLACE, cpu_features=frozenset({"avx2"}))
    assert quantized(folder, vnni) == quantized(folder, other) != quantized(folder, plain)


def test_an_address_changes_with_the_seed(folder: Path) -> None:
    assert quantized(folder) != quantized(folder, measure={"seed": 1})


def test_an_address_changes_with_the_weights(folder: Path) -> None:
    before = quantized(folder)
    write_onnx(folder / "m.onnx", seed=1)
    assert quantized(folder) != before
    write_onnx(folder / "m.onnx", seed=0)
    assert quantized(folder) == before


def test_an_address_changes_with_a_factorys_code_and_arguments(folder: Path) -> None:
    def address(**fields: Any) -> str:
        return quantized(folder, models={"m": {**FACTORY, **fields}})

    before = address()
    assert address(kwargs={"width": 8}) != before
    assert address(inputs={"x": [5]}) != before
    (folder / "my_code.py").write_text("def build(): 1\ndef data(split): ...\n")
    assert address() != before


def test_an_address_changes_with_a_steps_settings(folder: Path) -> None:
    static = {"quantize": {"method": "static", "calibration": {"samples": 8}}}
    more = {"quantize": {"method": "static", "calibration": {"samples": 16}}}
    models = {"m": {"onnx": "m.onnx", "dataset": "my_code:data"}}
    keys = {quantized(folder, models=models, techniques={"t": [s, ORT]}) for s in (QUANTIZE, static, more)}
    assert len(keys) == 3


def test_an_address_changes_with_the_code_of_a_step(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, other = TRANSFORMS.get("quantize/dynamic"), TRANSFORMS.get("prune/channel")
    assert step.code != other.code
    assert len(step.code) == len(other.code) == 64
    before = quantized(folder)
    monkeypatch.setattr(registry, "code_of", lambda *functions: "other code")
    assert quantized(folder) != before


def test_an_address_changes_with_a_librarys_version(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = quantized(folder)
    monkeypatch.setattr(module, "versions_of", lambda names: dict.fromkeys(names, "0.0.1"))
    assert quantized(folder) != before


def test_only_what_is_made_for_a_machine_changes_with_it(folder: Path) -> None:
    there = replace(PLACE, machine_id="there")
    exported = {"models": {"m": FACTORY}, "techniques": {"t": [ORT]}}
    compiled = {"models": {"m": FACTORY}, "techniques": {"t": [{"runtime": "torch-compile"}]}}
    assert key(plan(folder, **exported)) == key(plan(folder, there, **exported))
    assert key(plan(folder, **compiled)) != key(plan(folder, there, **compiled))


def test_what_is_made_for_a_batch_changes_with_it(folder: Path) -> None:
    made = plan(
        folder,
        models={"m": FACTORY},
        techniques={"t": [{"runtime": "torch-compile"}]},
        workloads={"a": {"scenario": "offline", "batch": 1}, "b": {"scenario": "offline", "batch": 8}},
    )
    assert len({planned.artifact_key for planned in made.cells.values()}) == 2


def test_quality_data_change_with_metric_and_seed(folder: Path) -> None:
    def address(**sections: Any) -> str:
        return plan(folder, **sections).data_keys["m"]

    assert address() != address(measure={"seed": 1})
    assert address() != address(models={"m": {"onnx": "m.onnx", "metric": "cosine"}})
    assert address() == address(techniques={"q": [QUANTIZE, ORT]})


def test_reference_outputs_change_with_the_runtime_that_gives_them(folder: Path, monkeypatch) -> None:
    labels = {"m": {"onnx": "m.onnx", "metric": "top-1", "dataset": "my_code:data"}}
    before = plan(folder).data_keys["m"], plan(folder, models=labels).data_keys["m"]
    version = versions.package_version
    newer = {"onnxruntime": "99"}
    monkeypatch.setattr(versions, "package_version", lambda name: newer.get(name) or version(name))
    after = plan(folder).data_keys["m"], plan(folder, models=labels).data_keys["m"]
    assert after[0] != before[0]
    assert after[1] != before[1], "its outputs show where their batch is, also for labels"


def test_models_change_with_the_files_that_they_are_said_to_read(folder: Path) -> None:
    (folder / "table.csv").write_text("1")
    models = {"m": {"onnx": "m.onnx", "dataset": "my_code:data", "depends": ["table.csv"]}}
    before = plan(folder, models=models).data_keys["m"]
    (folder / "table.csv").write_text("2")
    assert plan(folder, models=models).data_keys["m"] != before
    models["m"]["depends"] = ["none.csv"]
    with pytest.raises(SuiteError, match=r"none\.csv: no such file or folder beside the suite"):
        plan(folder, models=models)


def test_what_float16_comes_to_is_told_for_each_machine(folder: Path) -> None:
    technique = {"t": [{"precision": "fp16"}, ORT]}
    keys = set()
    for machine in ("here", "there"):
        (planned,) = plan(folder, replace(PLACE, machine_id=machine), techniques=technique).cells.values()
        keys.add(planned.artifact_key)
    assert len(keys) == 2


def test_an_address_changes_with_the_code_that_builds_the_source(folder: Path, monkeypatch) -> None:
    from harness.zoo import source

    before = key(plan(folder))
    monkeypatch.setattr(source, "code_of", lambda *functions: "other code")
    assert key(plan(folder)) != before


def test_evaluation_data_change_with_the_code_that_writes_them(folder: Path, monkeypatch) -> None:
    before = plan(folder).data_keys["m"]
    monkeypatch.setattr(module, "code_of", lambda *functions: "other code")
    assert plan(folder).data_keys["m"] != before


def test_a_dataset_changes_what_learns_from_it_and_no_other_artifact(folder: Path) -> None:
    static = {"t": [{"quantize": "static"}, ORT]}
    models = {"m": {"onnx": "m.onnx", "dataset": "my_code:data"}}

    def keys() -> tuple[str, str, str]:
        made = plan(folder, models=models)
        return key(made), made.data_keys["m"], key(plan(folder, models=models, techniques=static))

    before = keys()
    (folder / "my_code.py").write_text("def build(): ...\ndef data(split): return 1\n")
    assert [a == b for a, b in zip(before, keys(), strict=True)] == [True, False, False]


def test_threads_are_cores_that_the_process_is_given(folder: Path) -> None:
    place = replace(PLACE, cores=(3, 5, 7))
    made = plan(folder, place, hardware={"one": {"threads": 1}, "all": {"threads": "all"}})
    targets = [planned.target for planned in made.cells.values()]
    assert [(target.threads, target.cores) for target in targets] == [(1, (3,)), (3, (3, 5, 7))]


FLOAT8 = {
    "models": {"m": FACTORY},
    "techniques": {"t": [{"quantize": "torchao-fp8"}, {"runtime": "torch-compile"}]},
}
GPU = {"hardware": {"gpu": {"device": "cuda"}}}


def test_float8_is_skipped_where_the_device_lacks_it(folder: Path) -> None:
    pytest.importorskip("torchao")
    assert skip(plan(folder, **FLOAT8)) == "quantize/torchao-fp8 does not run on cpu"
    old = replace(PLACE, cuda_missing=None, cuda_capability=(8, 0))
    assert skip(plan(folder, old, **FLOAT8, **GPU)) == (
        "quantize/torchao-fp8 needs a GPU of compute capability 8.9; this one has 8.0"
    )
    for has in ((8, 9), (9, 0), (12, 0), None):
        new = replace(PLACE, cuda_missing=None, cuda_capability=has)
        assert skip(plan(folder, new, **FLOAT8, **GPU)) is None
    other = {"techniques": {"t": [{"precision": "fp16"}, {"runtime": "torch-compile"}]}}
    assert skip(plan(folder, old, models=FLOAT8["models"], **other, **GPU)) is None


def test_only_what_learns_from_the_interpreters_text_changes_with_it(folder: Path, monkeypatch) -> None:
    models = {"m": {"zoo": "byte-lm"}}
    static = [{"quantize": {"method": "static"}}, ORT]

    def keys() -> tuple[str, str]:
        learned = plan(folder, models=models, techniques={"t": static})
        return quantized(folder, models=models), key(learned)

    before = keys()
    monkeypatch.setattr("sys.version", "3.99.0")
    after = keys()
    assert after[0] == before[0]
    assert after[1] != before[1]
