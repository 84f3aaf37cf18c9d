"""A suite is refused before anything runs: every fault at once, with line, path, what is allowed."""

from __future__ import annotations

import pytest
from suite_texts import TEXT, content, problems, read, told

from harness.runtimes.registry import RUNTIMES
from harness.suite.schema import Measure
from harness.techniques.registry import DEPLOYMENTS, families
from harness.zoo.registry import MODELS

ALL_MODELS, ALL_RUNTIMES = ", ".join(MODELS.names()), ", ".join(RUNTIMES.names())
ALL_STEPS = ", ".join(sorted({*families(), *DEPLOYMENTS.names(), "runtime"}))


def test_the_small_suite_is_valid(tmp_path):
    suite = read(tmp_path, TEXT)
    assert list(suite.models) == ["mlp", "cnn"]
    assert list(suite.pipelines) == ["eager", "ort", "int8"]
    assert suite.baseline == "eager"
    assert suite.document.text == TEXT
    assert suite.document.path == tmp_path / "s.yaml"
    assert suite.folder == tmp_path


def test_all_faults_of_a_file_are_told_at_once_in_the_order_of_its_lines(tmp_path):
    text = """\
suite: x
modles: {}
models:
  a: {zoo: mnist-mpl}
  b: {zoo: mnist-cnn, dataset: mnist}
  c: {zoo: mnist-cnn, torch: "a:b"}
  d: 5
workloads:
  w: {scenario: offlin, batch: 0}
  int: {scenario: offline, btch: 2}
hardware:
  h: {device: gpu, threads: al}
techniques:
  a: [{runtime: onnxruntme}]
  b: [{quantize: {method: static, calibration: {sampels: 1}}}, {runtime: onnxruntime}]
  c: [{quantise: static}, {runtime: onnxruntime}]
  d: onnxruntime
  e: [onnxruntime]
quality: {max_drop: 1%}
measure: {target_ci: 0, trials: 2.5, time: 3s, max_time: 3 sec}
baseline: aa
exclude:
  - {model: x}
  - {technique: [a, "q*"], wrkload: w}
"""
    assert told(tmp_path, text) == [
        "s.yaml:2: modles: unknown key 'modles'; did you mean 'models'? Known: baseline, description, "
        "exclude, hardware, include, measure, models, quality, suite, techniques, workloads",
        f"s.yaml:4: models.a.zoo: unknown model 'mnist-mpl'; did you mean 'mnist-mlp'? Known: {ALL_MODELS}",
        "s.yaml:5: models.b.dataset: unknown key 'dataset'. Known: zoo",
        "s.yaml:6: models.c: takes exactly one of the keys hf, onnx, program, torch, torchscript, zoo; "
        "found zoo, torch",
        "s.yaml:7: models.d: found 5; allowed: a mapping",
        "s.yaml:9: workloads.w.scenario: unknown scenario 'offlin'; did you mean 'offline'? "
        "Known: loadgen-multi-stream, loadgen-offline, loadgen-server, loadgen-single-stream, multi-stream, "
        "offline, server, single-stream",
        "s.yaml:9: workloads.w.batch: found 0; allowed: 1 or more",
        "s.yaml:10: workloads.int.btch: unknown key 'btch'; did you mean 'batch'? Known: batch, scenario",
        "s.yaml:12: hardware.h.device: found 'gpu'; allowed: 'cpu' or 'cuda'",
        "s.yaml:12: hardware.h.threads: found 'al'; allowed: a whole number, or 'all' or 'logical'",
        f"s.yaml:14: techniques.a[0].runtime: unknown runtime 'onnxruntme'; did you mean 'onnxruntime'? "
        f"Known: {ALL_RUNTIMES}",
        "s.yaml:15: techniques.b[0].quantize.calibration.sampels: unknown key 'sampels'; "
        "did you mean 'samples'? Known: batch, method, percentile, samples",
        "s.yaml:16: techniques.c[0].quantise: unknown step 'quantise'; did you mean 'quantize'? "
        f"Known: {ALL_STEPS}",
        "s.yaml:17: techniques.d: found 'onnxruntime'; allowed: a list",
        "s.yaml:18: techniques.e[0]: found 'onnxruntime'; allowed: a mapping",
        "s.yaml:19: quality.max_drop: '1%' is not a quality loss; write for example 0.5pt",
        "s.yaml:20: measure.target_ci: found 0; allowed: more than 0",
        "s.yaml:20: measure.max_time: '3 sec' is not a duration; write for example 500ms, 20s or 2m",
        "s.yaml:20: measure.trials: found 2.5; allowed: a whole number, or 'auto'",
        "s.yaml:20: measure.time: unknown key 'time'; did you mean 'timeout'? "
        f"Known: {', '.join(sorted(Measure.model_fields))}",
        "s.yaml:21: baseline: unknown technique 'aa'; did you mean 'a'? Known: a, b, c, d, e",
        "s.yaml:23: exclude[0].model: unknown model 'x'. Known: a, b, c, d",
        "s.yaml:24: exclude[1].wrkload: unknown key 'wrkload'; did you mean 'workload'? "
        "Known: hardware, model, technique, workload",
        "s.yaml:24: exclude[1].technique[1]: 'q*' matches no technique. Known: a, b, c, d, e",
    ]


@pytest.mark.parametrize("section", ["suite", "models", "workloads", "techniques"])
def test_what_must_be_there_is_missed(tmp_path, section):
    assert f"s.yaml:1: {section}: is missing" in told(tmp_path, content(**{section: None}))


@pytest.mark.parametrize("section", ["models", "workloads", "hardware", "techniques"])
def test_an_empty_section_is_refused(tmp_path, section):
    (problem,) = problems(tmp_path, content(**{section: {}}))
    assert problem.where == section
    assert "at least 1 item" in problem.message


@pytest.mark.parametrize("name", ["", "a/b", "a\\b", "..", ".", ".hidden", "a\nb", "a\0b"])
def test_a_suite_name_that_could_not_name_a_folder_is_refused(tmp_path, name):
    (problem,) = problems(tmp_path, content(suite=name))
    assert problem.where == "suite"
    assert "cannot name a folder" in problem.message


def test_a_suite_name_that_is_too_long_for_a_folder_is_refused(tmp_path):
    assert told(tmp_path, content(suite="ö" * 101)) == [
        "s.yaml:1: suite: is too long to name a folder: at most 200 bytes"
    ]
    assert read(tmp_path, content(suite="ö" * 100))


@pytest.mark.parametrize("section", ["models", "workloads", "hardware", "techniques"])
@pytest.mark.parametrize("name", ["", " ", "a\nb", "a\x1b[31mb"])
def test_a_name_that_cannot_be_read_is_refused(tmp_path, section, name):
    given = content()[section]
    found = problems(
        tmp_path, content(**{section: {name: next(iter(given.values())), **dict(list(given.items())[1:])}})
    )
    assert f"{name!r} is not a name: write one line of printable text" in [
        problem.message for problem in found
    ]


@pytest.mark.parametrize("name", ["digits", "my suite", "größe-1", 'it\'s "so"', "v1.2"])
def test_other_suite_names_are_taken(tmp_path, name):
    assert read(tmp_path, content(suite=name)).spec.suite == name


@pytest.mark.parametrize(
    ("section", "value", "where", "says"),
    [
        ("measure", {"target_ci": "2"}, "target_ci", "'2' is not a share; write for example 2% or 0.02"),
        ("measure", {"target_ci": "100%"}, "target_ci", "found '100%'; allowed: less than 1"),
        ("measure", {"target_ci": 0.0}, "target_ci", "found 0.0; allowed: more than 0"),
        ("measure", {"target_ci": True}, "target_ci", "found true; allowed: a number"),
        ("measure", {"max_time": "0s"}, "max_time", "found '0s'; allowed: more than 0"),
        ("measure", {"max_time": float("inf")}, "max_time", "found inf; allowed: a finite number"),
        ("measure", {"max_time": "1e999s"}, "max_time", "found '1e999s'; allowed: a finite number"),
        ("measure", {"timeout": float("nan")}, "timeout", "found nan; allowed: a finite number"),
        ("measure", {"timeout": None}, "timeout", "found nothing; allowed: a number"),
        ("measure", {"block_time": [1]}, "block_time", "found [1]; allowed: a number"),
        ("measure", {"trials": "3"}, "trials", "found '3'; allowed: a whole number, or 'auto'"),
        ("measure", {"trials": True}, "trials", "found true; allowed: a whole number, or 'auto'"),
        (
            "measure",
            {"environment": {"A-B": "1"}},
            "environment.A-B",
            "'A-B' cannot name an environment variable: letters, digits and _ only",
        ),
        (
            "measure",
            {"environment": {"OMP_NUM_THREADS": "4"}},
            "environment.OMP_NUM_THREADS",
            "the harness sets OMP_NUM_THREADS itself",
        ),
        ("measure", {"environment": {"A": [1]}}, "environment.A", "found [1]; allowed: text"),
        ("measure", {"seed": -1}, "seed", "found -1; allowed: 0 or more"),
        ("measure", {"seed": 2**32}, "seed", "found 4294967296; allowed: 4294967295 or less"),
        ("quality", {"max_drop": -1}, "max_drop", "found -1; allowed: 0 or more"),
        ("quality", 5, None, "found 5; allowed: a mapping"),
        ("baseline", ["eager"], None, "found ['eager']; allowed: text"),
        ("description", 5, None, "found 5; allowed: text; write it in quotes if it is a name"),
        (
            "hardware",
            {"h": {"threads": 0}},
            "h.threads",
            "found 0; allowed: 1 or more, or 'all' or 'logical'",
        ),
        (
            "hardware",
            {"h": {"threads": True}},
            "h.threads",
            "found true; allowed: a whole number, or 'all' or 'logical'",
        ),
        (
            "hardware",
            {"h": {"threads": 1.5}},
            "h.threads",
            "found 1.5; allowed: a whole number, or 'all' or 'logical'",
        ),
        ("exclude", {"model": "mlp"}, None, "found {'model': 'mlp'}; allowed: a list"),
        (
            "exclude",
            [{"model": 5.5}],
            "[0].model",
            "found 5.5; allowed: text, or a list; write it in quotes if it is a name",
        ),
        ("exclude", [{"model": [["mlp"]]}], "[0].model[0]", "found ['mlp']; allowed: text"),
    ],
)
def test_a_wrong_value_says_what_was_found_and_what_is_allowed(tmp_path, section, value, where, says):
    (problem,) = problems(tmp_path, content(**{section: value}))
    assert problem.where == (f"{section}.{where}" if where else section).replace(".[", "[")
    assert problem.message == says


def test_a_key_of_an_older_suite_names_its_new_name_and_is_not_accepted(tmp_path):
    assert told(tmp_path, TEXT + "measure:\n  precision: 2%\n  roof_time: 0\n") == [
        "s.yaml:15: measure.precision: is called target_ci now",
        "s.yaml:16: measure.roof_time: is called peak_time now",
    ]
    text = TEXT + "quality: {precision: 1}\n"  # no such key there, old or new
    assert told(tmp_path, text)[0].startswith("s.yaml:14: quality.precision: unknown key 'precision'")


def test_a_list_with_a_wrong_element_is_told_by_its_element_only(tmp_path):
    step = {"quantize": {"method": "dynamic", "operators": ["MatMull"]}}
    data = content(techniques={"t": [step, {"runtime": "onnxruntime"}]})
    assert [problem.where for problem in problems(tmp_path, data)] == [
        "techniques.t[0].quantize.operators[0]"
    ]


def test_units_are_read(tmp_path):
    measure = {"target_ci": "2%", "max_time": "20s", "block_time": "50ms", "timeout": "2m"}
    spec = read(tmp_path, content(measure=measure, quality={"max_drop": "0.5pt"})).spec
    assert (spec.measure.target_ci, spec.measure.max_time) == (0.02, 20.0)
    assert (spec.measure.block_time, spec.measure.timeout) == (0.05, 120.0)
    assert spec.quality.max_drop == 0.5


@pytest.mark.parametrize(
    ("model", "where", "says"),
    [
        ({}, "", "takes exactly one of the keys hf, onnx, program, torch, torchscript, zoo; found nothing"),
        (
            {"zooo": "x"},
            "",
            "takes exactly one of the keys hf, onnx, program, torch, torchscript, zoo; found zooo",
        ),
        ({"zoo": 5}, ".zoo", "found 5; allowed: text; write it in quotes if it is a name"),
        ({"onnx": "none.onnx"}, ".onnx", "none.onnx: no such file beside the suite"),
        (
            {"onnx": "none.onnx", "dataset": "mnits"},
            ".dataset",
            "unknown dataset 'mnits'; did you mean 'mnist'",
        ),
        ({"onnx": "none.onnx", "metric": "top1"}, ".metric", "unknown metric 'top1'; did you mean 'top-1'"),
        ({"onnx": "none.onnx", "inputs": {"x": 5}}, ".inputs.x", "found 5; allowed: a list"),
        ({"onnx": "none.onnx", "inputs": [4]}, ".inputs", "needs a mapping from name to shape, for example"),
        (
            {"onnx": "none.onnx", "inputs": {"x": {"shape": [1], "high": 9, "avoid": [0, "a"]}}},
            ".inputs.x.avoid[1]",
            "found 'a'; allowed: a whole number",
        ),
        (
            {"onnx": "none.onnx", "inputs": {"x": {"shape": [1], "avoid": 0}}},
            ".inputs.x.avoid",
            "found 0; allowed: a list",
        ),
        ({"onnx": "none.onnx", "inputs": {"x": [-1]}}, ".inputs.x[0]", "found -1; allowed: 0 or more"),
        (
            {"onnx": "none.onnx", "inputs": {"x": {"shape": ["a"]}}},
            ".inputs.x.shape[0]",
            "found 'a'; allowed",
        ),
        (
            {"onnx": "none.onnx", "inputs": {"a": [1], "x": {"shape": [1], "shpe": [1]}}},
            ".inputs.x.shpe",
            "unknown key 'shpe'; did you mean 'shape'? Known: avoid, batch_axis, dtype, fill, high, "
            "like, name, shape, value",
        ),
        (
            {"onnx": "none.onnx", "inputs": {"x": {"shape": [1], "dtype": "float"}}},
            ".inputs.x.dtype",
            "unknown dtype 'float'; did you mean 'float64'",
        ),
        ({"torch": "nomodule:f", "inputs": {"x": [1]}}, ".torch", "no module 'nomodule' beside the suite"),
        ({"torch": "nomodule.sub:f", "inputs": {"x": [1]}}, ".torch", "no module 'nomodule.sub' beside"),
        ({"torch": "a..b:f", "inputs": {"x": [1]}}, ".torch", "'a..b:f' is not package.module:function"),
        (
            {"torch": "nocolon", "inputs": {"x": [1]}},
            ".torch",
            "'nocolon' names no function; write package.module:function",
        ),
        (
            {"torch": "json:f", "inputs": {"x": [1]}, "dataset": "none:f"},
            ".dataset",
            "no module 'none' beside the suite",
        ),
        (
            {"torch": "json:f", "inputs": {"x": [1]}, "dataset": {"npz": "none.npz"}},
            ".dataset",
            "none.npz: no such file or folder beside the suite",
        ),
        (
            {"torch": "json:f", "inputs": {"x": [1]}, "dataset": {"npz": "a.npz", "padd": 0}},
            ".dataset",
            "unknown key 'padd'; did you mean 'pad'",
        ),
        ({"torch": "json:f", "inputs": {}}, ".inputs", "at least 1 item"),
        ({"torch": "json:f", "inputs": {"x": [1]}, "dataset": ":f"}, ".dataset", "unknown dataset ':f'"),
        (
            {"torch": "json:f", "inputs": {"x": [1]}, "weights": "w"},
            ".torch",
            "w: no such file beside the suite",
        ),
    ],
)
def test_a_model_that_cannot_be_is_refused(tmp_path, model, where, says):
    found = problems(tmp_path, content(models={"mine": model}))
    assert found[0].where == f"models.mine{where}"
    assert says in found[0].message


@pytest.mark.parametrize(
    ("workload", "where", "says"),
    [
        ({"batch": 2}, ".scenario", "is missing; allowed: loadgen-multi-stream, loadgen-offline"),
        ({"scenario": 5}, ".scenario", "found 5; allowed: loadgen-multi-stream"),
        ({"scenario": "servr"}, ".scenario", "unknown scenario 'servr'; did you mean 'server'?"),
        (
            {"scenario": "server"},
            "",
            "needs qps, or latency_bound to find the highest qps that holds it; found neither",
        ),
        (
            {"scenario": "server", "latency_bond": "10ms"},
            ".latency_bond",
            "unknown key 'latency_bond'; did you mean 'latency_bound'? Known: batch, latency_bound, "
            "percentile, qps, scenario, search_time",
        ),
        ({"scenario": "server", "qps": -1}, ".qps", "found -1; allowed: more than 0"),
        (
            {"scenario": "server", "qps": 5, "percentile": 99},
            ".percentile",
            "found 99; allowed: 0.999",
        ),
        ({"scenario": "server", "latency_bound": "fast"}, ".latency_bound", "'fast' is not a duration"),
        ({"scenario": "single-stream", "qps": 5}, ".qps", "unknown key 'qps'. Known: batch, scenario"),
        (
            {"scenario": "multi-stream", "batch": 3},
            "",
            "samples_per_query 8 is no multiple of batch 3: a query is made of whole calls",
        ),
    ],
)
def test_a_workload_that_cannot_be_is_refused(tmp_path, workload, where, says):
    found = problems(tmp_path, content(workloads={"w": workload}))
    assert found[0].where == f"workloads.w{where}"
    assert found[0].line
    assert says in found[0].message


def test_names_of_any_kind_are_taken_and_told(tmp_path):
    names = ["my model", "größe", "it's", 'say "x"', "int", "a.b", "[b]"]
    data = content(
        models={name: {"zoo": "mnist-mlp"} if i == 0 else {"zoo": "x"} for i, name in enumerate(names)}
    )
    found = problems(tmp_path, data)
    assert [problem.where for problem in found] == [f"models.{name}.zoo" for name in names[1:]]
    assert [problem.line for problem in found] == [6, 8, 10, 12, 14, 16]


def test_keys_that_yaml_would_take_for_something_else_stay_names(tmp_path):
    text = TEXT.replace("  eager:", "  no:").replace("  mlp:", "  12:30:")
    suite = read(tmp_path, text + "exclude: [{technique: no, model: 12:30}]\nbaseline: no\n")
    assert list(suite.models) == ["12:30", "cnn"]
    assert suite.baseline == "no"
    assert (suite.spec.exclude[0].technique, suite.spec.exclude[0].model) == ("no", "12:30")


def test_a_name_that_yaml_reads_as_a_number_must_be_in_quotes(tmp_path):
    text = TEXT.replace("  eager:", "  1.0:") + "baseline: 1.0\n"
    assert told(tmp_path, text) == [
        "s.yaml:14: baseline: found 1.0; allowed: text; write it in quotes if it is a name"
    ]
    assert read(tmp_path, text.replace("baseline: 1.0", "baseline: '1.0'")).baseline == "1.0"


def test_scientific_notation_is_a_number_in_settings_and_in_arguments_of_a_factory(tmp_path):
    model = "{torch: 'json:dumps', inputs: {x: [3]}, kwargs: {eps: 1e-6, width: 0o20, on: 'off'}}"
    finetune = "{epochs: 1, learning_rate: 1e-4}"
    prune = f"prune: {{structure: unstructured, sparsity: 5e-1, finetune: {finetune}}}"
    text = TEXT.replace("{zoo: mnist-mlp}", model) + f"  p: [{{{prune}}}, {{runtime: onnxruntime}}]\n"
    suite = read(tmp_path, text)
    assert suite.models["mlp"].content()["kwargs"] == {"eps": 1e-6, "width": 16, "on": "off"}
    config = suite.pipelines["p"].transforms[0].config.model_dump()
    assert (config["sparsity"], config["finetune"]["learning_rate"]) == (0.5, 1e-4)


def test_a_word_of_yaml_1_1_is_no_truth_value(tmp_path):
    assert told(tmp_path, TEXT + "measure: {huge_pages: no}\n") == [
        "s.yaml:14: measure.huge_pages: found 'no'; allowed: true or false"
    ]


def test_inputs_are_read_with_all_their_settings(tmp_path):
    ids = {"shape": [4], "dtype": "int64", "high": 5, "avoid": [0, 3]}
    model = {"torch": "json:dumps", "inputs": {"ids": ids, "mask": [4]}}
    found = read(tmp_path, content(models={"m": model})).models["m"].config.model_dump(mode="json")["inputs"]
    rest = {"batch_axis": 0, "value": None, "fill": "random", "like": None}
    assert found[0] == {"name": "ids", **ids, **rest}
    assert (found[1]["name"], found[1]["shape"]) == ("mask", [4])


@pytest.mark.parametrize(
    ("section", "twin", "of"),
    [
        ("models", {"zoo": "mnist-mlp"}, "mlp"),
        ("workloads", {"scenario": "single-stream", "batch": 1}, "online"),
        ("hardware", {"threads": 1}, "cpu"),
        ("techniques", [{"runtime": {"name": "torch-eager"}}], "eager"),
        ("techniques", [{"quantize": "static"}, {"runtime": "onnxruntime"}], "int8"),
    ],
)
def test_the_same_content_under_two_names_is_refused(tmp_path, section, twin, of):
    data = content()
    data[section]["other name"] = twin
    (problem,) = problems(tmp_path, data)
    assert problem.where == f"{section}.other name"
    assert problem.message == f"is the same as {section}.{of}: leave one out"


def test_twins_are_seen_whatever_the_order_of_their_keys(tmp_path):
    one = {"torch": "json:dumps", "inputs": {"x": [1]}, "kwargs": {"a": 1, "b": 2}}
    two = {"kwargs": {"b": 2, "a": 1}, "inputs": {"x": [1]}, "torch": "json:dumps"}
    (problem,) = problems(tmp_path, content(models={"one": one, "two": two}))
    assert problem.message == "is the same as models.one: leave one out"


@pytest.mark.parametrize("section", ["exclude", "include"])
@pytest.mark.parametrize(
    ("pattern", "where", "says"),
    [
        ({"model": "mpl"}, ".model", "unknown model 'mpl'; did you mean 'mlp'? Known: cnn, mlp"),
        ({"workload": ["bulk", "bulky"]}, ".workload[1]", "unknown workload 'bulky'; did you mean 'bulk'"),
        ({"hardware": "g?u"}, ".hardware", "'g?u' matches no hardware. Known: cpu"),
        ({"technique": []}, "", "matches no Cell"),
    ],
)
def test_a_pattern_that_matches_nothing_is_refused(tmp_path, section, pattern, where, says):
    from harness.errors import SuiteError
    from harness.suite.matrix import expand

    with pytest.raises(SuiteError) as caught:
        expand(read(tmp_path, content(**{section: [{"model": "mlp"}, pattern]})))
    (problem,) = caught.value.problems
    assert problem.where == f"{section}[1]{where}"
    assert problem.line is not None
    assert problem.line > 15
    assert says in problem.message


def test_an_unknown_name_tells_of_broken_plug_ins(tmp_path, monkeypatch):
    from harness.runtimes.registry import RUNTIMES

    RUNTIMES.names()
    monkeypatch.setitem(RUNTIMES.broken, "fast", "fast.ort: ImportError: libfast.so")
    (text,) = told(tmp_path, content(techniques={"t": [{"runtime": "fast"}]}))
    assert text.endswith("; plug-in 'fast' could not be loaded: fast.ort: ImportError: libfast.so")


def test_the_hash_does_not_change_with_layout_and_comments_but_with_content(tmp_path):
    one = read(tmp_path, TEXT).sha256
    assert (
        read(tmp_path, "# note\n" + TEXT.replace("{device: cpu, threads: 1}", "\n    threads: 1")).sha256
        == one
    )
    assert read(tmp_path, TEXT.replace("batch: 8", "batch: 9")).sha256 != one
