"""Mixed precision: each layer's damage is measured, and the fewest of the worst stay in float."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tiny
from layers import context, run, samples, write
from pydantic import ValidationError

from harness.errors import BuildError, SuiteError
from harness.formats.onnx import graph as onnx_graph
from harness.suite.validation import read_suite
from harness.techniques.quantize import sensitivity
from harness.techniques.quantize.ort_mixed import MixedQuantize
from harness.zoo.registry import Data

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import helper  # noqa: E402

CALIBRATION = {"samples": 128, "batch": 32}
RNG = np.random.default_rng(11)
SOUND = [(RNG.standard_normal((16, 16)) / 4).astype(np.float32) for _ in range(3)]


def spoilt():
    """One weight a thousand times the others: with one scale for all, the others come to nothing."""
    weight = SOUND[1].copy()
    weight[0, 0] = 300.0
    return weight


def chain(folder, *weights):
    """Matrix products with a Relu between them."""
    nodes, at = [], "x"
    for i in range(len(weights)):
        out = "y" if i == len(weights) - 1 else f"h{i}"
        nodes.append(helper.make_node("MatMul", [at, f"w{i}"], [out], name=f"layer{i}"))
        if out != "y":
            nodes.append(helper.make_node("Tanh", [out], [f"r{i}"], name=f"act{i}"))
        at = f"r{i}"
    named = {f"w{i}": weight for i, weight in enumerate(weights)}
    return write(folder, nodes, [16], [weights[-1].shape[1]], named)


def build(folder, *weights, **config):
    data = Data((samples((16,), 200, seed=2),))
    config = {"calibration": CALIBRATION, "per_channel": False, **config}
    about = context((16,), data, cpu_features=frozenset({"avx512_vnni"}))
    source = chain(folder / "f", *weights)
    return source, *tiny.build("quantize/mixed", source, folder / "q", about, **config)


def test_the_worst_layer_is_found_and_alone_stays_in_float(tmp_path):
    source, artifact, about = build(tmp_path, SOUND[0], spoilt(), SOUND[2], max_drop=0.1)
    worst = about["sensitivity"][0]
    assert (worst["name"], worst["operator"], worst["in_float"]) == ("layer1", "MatMul", True)
    assert worst["flops_share"] == pytest.approx(1 / 3)
    assert [layer["in_float"] for layer in about["sensitivity"][1:]] == [False, False]
    assert about["layers_in_float"] == 1
    assert about["float_operator_names"] == ["MatMul layer1"]
    assert about["low_precision_flops_share"] == pytest.approx(2 / 3)
    assert about["disagreement"] <= 0.1 < about["all_int8_disagreement"]
    x = samples((16,), 100, seed=3)
    assert np.mean(run(artifact, x, "all").argmax(1) == run(source, x).argmax(1)) > 0.85


def test_a_budget_that_holds_anyway_leaves_nothing_in_float(tmp_path):
    _, _, about = build(tmp_path, *SOUND, max_drop=0.5)
    assert about["layers_in_float"] == 0
    assert about["float_operators"] == {}
    assert about["disagreement"] == about["all_int8_disagreement"]


def test_a_layers_damage_is_that_of_the_graph_with_it_alone_in_int8(tmp_path):
    """In numpy: the first layer's input, weight and output through 8 bits, the others in float."""
    _, _, about = build(tmp_path, *SOUND, max_drop=0.5, probe=128)
    ratios = {layer["name"]: layer["sqnr_db"] for layer in about["sensitivity"]}
    assert list(ratios.values()) == sorted(ratios.values())
    data = Data((samples((16,), 200, seed=2),))
    chosen = np.sort(np.random.default_rng(0).choice(200, 128, replace=False))
    x = data.inputs[0][chosen]
    w = SOUND[0]
    scale = np.abs(w).max() / 127
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    xs = (high - low) / 255
    zero = np.rint(-low / xs)
    xq = (np.clip(np.rint(x / xs) + zero, 0, 255) - zero) * xs
    inner = xq @ (np.rint(w / scale) * scale)
    exact = x @ w
    hs = (min(float(exact.min()), 0.0), max(float(exact.max()), 0.0))
    step = (hs[1] - hs[0]) / 255
    inner = (np.clip(np.rint(inner / step) + np.rint(-hs[0] / step), 0, 255) - np.rint(-hs[0] / step)) * step
    found = np.tanh(np.tanh(inner) @ SOUND[1]) @ SOUND[2]
    truth = np.tanh(np.tanh(exact) @ SOUND[1]) @ SOUND[2]
    expected = 10 * np.log10(np.square(truth).sum() / np.square(truth - found).sum())
    assert ratios["layer0"] == pytest.approx(expected, abs=0.5)


def test_the_ratio_of_signal_to_noise_is_a_budget_too(tmp_path):
    _, _, about = build(tmp_path, SOUND[0], spoilt(), SOUND[2], max_drop=None, min_sqnr_db=20.0)
    assert about["sqnr_db"] >= 20.0 > about["all_int8_sqnr_db"]
    assert about["layers_in_float"] == 1


def test_a_budget_that_no_layer_can_hold_is_a_failure(tmp_path):
    with pytest.raises(BuildError, match=r"no layer can be quantized within the budget; all in int8: .* dB"):
        build(tmp_path, *SOUND, min_sqnr_db=400.0)


def test_outputs_that_are_no_classes_need_the_other_budget(tmp_path):
    column = RNG.standard_normal((16, 1)).astype(np.float32)
    with pytest.raises(BuildError, match="the outputs are not classes; give min_sqnr_db"):
        build(tmp_path / "a", SOUND[0], column)
    _, _, about = build(tmp_path / "b", SOUND[0], column, min_sqnr_db=10.0)
    assert about["disagreement"] is None


def test_what_is_told_is_json(tmp_path):
    _, _, about = build(tmp_path, *SOUND, max_drop=0.5)
    assert json.loads(json.dumps(about, allow_nan=False)) == about


# ------------------------------------------------------------------ the measures


def test_signal_to_noise_against_its_definition():
    exact, noise = RNG.standard_normal((50, 7)), 0.01 * RNG.standard_normal((50, 7))
    found = sensitivity.sqnr_db([exact], [exact + noise])
    assert found == pytest.approx(20 * np.log10(np.linalg.norm(exact) / np.linalg.norm(noise)))
    assert sensitivity.sqnr_db([exact], [exact]) == float("inf")
    assert sensitivity.sqnr_db([np.zeros(3)], [np.ones(3)]) == float("-inf")


def test_disagreement_counts_changed_classes():
    exact = np.eye(4)
    found = exact.copy()
    found[0] = [0, 1, 0, 0]
    assert sensitivity.disagreement([exact], [found]) == 0.25
    assert sensitivity.disagreement([exact[:, :1]], [found[:, :1]]) is None


def test_candidates_have_a_constant_weight(tmp_path):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="with a weight"),
        helper.make_node("Transpose", ["h"], ["t"], perm=[1, 0], name="transpose"),
        helper.make_node("MatMul", ["h", "t"], ["y"], name="of activations"),
    ]
    source = write(tmp_path / "f", nodes, [16], ["batch"], {"w": SOUND[0]})
    model = onnx_graph.load_checked(source.file(onnx_graph.MODEL))
    assert sensitivity.candidates(model) == {"with a weight": ("MatMul", 2 * 16 * 16)}


def test_what_passes_on_the_outputs_of_a_float_layer_stays_in_float_too():
    edges = [
        ("MatMul", ["x", "w"], "a"),
        ("Relu", ["a"], "b"),
        ("MatMul", ["b", "w"], "c"),
        ("Add", ["b", "c"], "d"),  # one of its inputs is in float
        ("Relu", ["c"], "e"),
        ("MatMul", ["d", "w"], "f"),
        ("Relu", ["f"], "y"),
    ]
    nodes = [helper.make_node(kind, given, [out], name=f"{kind} {out}") for kind, given, out in edges]
    model = helper.make_model(helper.make_graph(nodes, "g", [], [], []))
    left = sensitivity.with_followers(model, {"MatMul a"})
    assert left == {"MatMul a", "Relu b", "Add d"}
    assert sensitivity.with_followers(model, ()) == set()


def test_rounding_behind_a_float_layer_does_not_spoil_a_budget(tmp_path):
    """With all layers but one in float, nothing but that one is rounded: its own ratio can be asked for."""
    _, _, loose = build(tmp_path / "a", *SOUND, max_drop=0.5, probe=128)
    best = max(layer["sqnr_db"] for layer in loose["sensitivity"])
    assert loose["sqnr_db"] < best - 1
    _, _, about = build(tmp_path / "b", *SOUND, max_drop=None, min_sqnr_db=best - 0.5)
    assert about["layers_in_float"] == 2
    assert about["sqnr_db"] == pytest.approx(best, abs=0.5)


# ------------------------------------------------------------------ what nothing can be done with


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"max_drop": None}, "there is no budget: give max_drop or min_sqnr_db"),
        ({"probe": 65, "calibration": {"samples": 32}}, "probe: 65 samples, but calibration has 32"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(config, says):
    with pytest.raises(ValidationError, match=says):
        MixedQuantize(**config)


def test_settings_may_be_written_out_and_read_again():
    few = MixedQuantize(calibration={"samples": 8})  # fewer than the usual probe
    assert MixedQuantize.model_validate(few.model_dump(mode="json")) == few


def test_a_missing_budget_is_a_problem_of_the_suite_with_its_line(tmp_path):
    lines = [
        "suite: s",
        "models: {m: {zoo: mnist-mlp}}",
        "workloads: {w: {scenario: single-stream}}",
        "techniques:",
        "  t:",
        "    - quantize: {method: mixed, max_drop: null}",
        "    - runtime: onnxruntime",
    ]
    (tmp_path / "s.yaml").write_text("\n".join(lines))
    with pytest.raises(SuiteError) as told:
        read_suite(tmp_path / "s.yaml")
    (problem,) = told.value.problems
    assert problem.line == 6
    assert "there is no budget" in problem.message


@pytest.mark.parametrize(("probe", "sizes"), [(16, [16]), (32, [32]), (48, [32, 16]), (128, [32] * 4)])
def test_as_many_samples_are_probed_as_requested(probe, sizes, tmp_path, monkeypatch):
    seen = []
    outputs = sensitivity.outputs

    def watch(model, batches):
        seen.append([len(next(iter(batch.values()))) for batch in batches])
        return outputs(model, batches)

    monkeypatch.setattr(sensitivity, "outputs", watch)
    build(tmp_path, *SOUND, max_drop=0.5, probe=probe)
    assert seen[0] == [32] * 4  # the float graph, on all
    assert seen[1:4] == [sizes] * 3  # each layer alone


def test_outputs_with_nan_have_no_budget(tmp_path):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="product"),
        helper.make_node("Sqrt", ["h"], ["y"], name="root"),  # of negative numbers, too
    ]
    source = write(tmp_path / "f", nodes, [16], [16], {"w": SOUND[0]})
    about = context((16,), Data((samples((16,), 200),)))
    with pytest.raises(BuildError, match="NaN or infinity"):
        tiny.build("quantize/mixed", source, tmp_path / "q", about, calibration=CALIBRATION)


def test_a_graph_without_constant_weights_has_nothing_to_choose(tmp_path):
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 1], name="turn"),
        helper.make_node("MatMul", ["x", "t"], ["y"], name="product"),
    ]
    source = write(tmp_path / "f", nodes, [4, 4], [4, 4], {})
    about = context((4, 4), Data((samples((4, 4), 200),)))
    with pytest.raises(BuildError, match="no layer has constant weights"):
        tiny.build("quantize/mixed", source, tmp_path / "q", about, calibration=CALIBRATION)
