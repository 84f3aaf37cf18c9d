"""OpenVINO: the same outputs as ONNX Runtime, on the requested threads and in the requested precision."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
import tiny

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError, HarnessError
from harness.formats import openvino as openvino_files
from harness.formats.onnx import graph as onnx_graph
from harness.formats.target import Target
from harness.measure.clock import PerfClock
from harness.runtimes.registry import RUNTIMES

openvino = pytest.importorskip("openvino")
pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

BATCH = 3


def opened(name, artifact, threads=1, **config):
    entry = RUNTIMES.get(name)
    return entry.open_session(entry.config(**config), artifact, Target(batch=BATCH, threads=threads))


def compiled(graph, folder, specs):
    context = tiny.Context(specs, target=Target(batch=BATCH, threads=1))
    ir, about = tiny.build("convert-openvino", graph, folder / "ir", context)
    blob, details = tiny.build("compile-openvino", ir, folder / "blob", context)
    assert details["batch"] == BATCH
    return ir, blob, about


def exported(name, folder):
    specs = tiny.INPUTS[name]
    module = tiny.source(name, folder / "module")
    return tiny.build("export-onnx", module, folder / "onnx", tiny.Context(specs))[0], specs


@pytest.fixture(scope="module", params=["dense", "conv", "two_inputs", "two_outputs"])
def model(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    graph, specs = exported(request.param, folder)
    ir, blob, about = compiled(graph, folder, specs)
    return graph, ir, blob, about, specs


@pytest.fixture(scope="module")
def conv(tmp_path_factory):
    folder = tmp_path_factory.mktemp("conv")
    graph, specs = exported("conv", folder)
    return graph, compiled(graph, folder, specs)[1], specs


def test_outputs_are_those_of_onnx_runtime(model):
    graph, _, blob, _, specs = model
    session, reference = opened("openvino", blob), opened("onnxruntime", graph)
    assert session.fixed_batch == BATCH
    inputs = tiny.samples(specs, BATCH)
    call = session.bind(inputs)
    expected = reference.run(inputs)
    for found in (call(), call(), session.run(inputs)):
        assert isinstance(found, tuple)
        assert all(type(array) is np.ndarray for array in found)
        for one, other in zip(found, expected, strict=True):
            assert one.shape == other.shape
            assert one.dtype == other.dtype
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    session.close()


def test_calls_that_were_bound_apart_do_not_mix_and_outputs_are_kept(conv):
    _, blob, specs = conv
    session = opened("openvino", blob)
    calls = [session.bind(tiny.samples(specs, BATCH, seed)) for seed in range(3)]
    kept = [call()[0] for call in calls]
    copies = [array.copy() for array in kept]
    assert not np.array_equal(kept[0], kept[1])
    for i in (2, 0, 1):
        np.testing.assert_array_equal(calls[i]()[0], copies[i])
        np.testing.assert_array_equal(kept[i], copies[i])


def test_arrays_are_read_when_the_call_is_made(conv):
    """Replicas put each batch into memory that was bound once."""
    _, blob, specs = conv
    session = opened("openvino", blob)
    (array,), (other,) = tiny.samples(specs, BATCH, 1), tiny.samples(specs, BATCH, 2)
    call = session.bind([array])
    call()
    array[...] = other
    np.testing.assert_array_equal(call()[0], session.run([other])[0])


def test_arrays_that_openvino_cannot_read_in_place_are_copied(conv):
    _, blob, specs = conv
    session = opened("openvino", blob)
    (array,) = tiny.samples(specs, BATCH)
    fixed, turned = array.copy(), np.asfortranarray(array)
    fixed.flags.writeable = False
    for odd in (fixed, turned):
        np.testing.assert_array_equal(session.run([odd])[0], session.run([array])[0])


@pytest.mark.parametrize("threads", [1, 2])
def test_the_thread_budget_one_stream_and_the_hints_are_as_asked(conv, threads):
    session = opened("openvino", conv[1], threads=threads)
    found = {
        name: session.compiled.get_property(name)
        for name in ("INFERENCE_NUM_THREADS", "NUM_STREAMS", "PERFORMANCE_HINT", "ENABLE_CPU_PINNING")
    }
    assert found["INFERENCE_NUM_THREADS"] == threads
    assert found["NUM_STREAMS"] == 1
    assert str(found["PERFORMANCE_HINT"]).endswith("LATENCY")
    assert found["ENABLE_CPU_PINNING"] is False


def executed(session, kind):
    """Precisions in which the layers of a kind run."""
    layers = [node.get_rt_info() for node in session.compiled.get_runtime_model().get_ordered_ops()]
    return {layer["runtimePrecision"].value for layer in layers if layer["layerType"].value == kind}


def test_float32_is_pinned_and_bfloat16_is_a_setting(conv):
    assert executed(opened("openvino", conv[1]), "Convolution") == {"f32"}
    capable = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if capable:
        assert executed(opened("openvino", conv[1], precision="bf16"), "Convolution") == {"bf16"}
    else:
        with pytest.raises(HarnessError, match="not in bf16"):
            opened("openvino", conv[1], precision="bf16")


def test_a_precision_that_the_processor_lacks_is_told_and_not_replaced(conv):
    if "FP16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor computes in f16")
    with pytest.raises(HarnessError, match=r"OpenVINO computes in b?f\d+ on this processor, not in f16"):
        opened("openvino", conv[1], precision="f16")


def test_weights_of_the_ir_are_as_they_were_and_its_batch_is_free(model):
    _, ir, _, about, specs = model
    read = openvino_files.read_model(ir.file(openvino_files.XML))
    assert all(port.partial_shape[0].is_dynamic for port in read.inputs)
    assert [port.any_name for port in read.inputs] == [spec.name for spec in specs]
    kinds = {
        node.get_element_type().to_string() for node in read.get_ops() if node.get_type_name() == "Constant"
    }
    assert "f16" not in kinds
    assert about["operators"]["Parameter"] == len(specs)


def test_too_few_inputs_are_refused_when_they_are_bound(conv):
    with pytest.raises(ValueError, match="takes 1 inputs, not 0"):
        opened("openvino", conv[1]).bind([])


def test_a_fixed_batch_that_is_not_the_workloads_is_told(conv, tmp_path):
    import onnx

    graph, _, specs = conv
    model = onnx_graph.load_checked(graph.file(onnx_graph.MODEL))
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = 4
    (tmp_path / "f").mkdir()
    onnx.save(model, str(tmp_path / "f" / onnx_graph.MODEL))
    with pytest.raises(BuildError, match="the model has a fixed batch of 4; the workload's is 3"):
        compiled(Artifact("g", "onnx", tmp_path / "f"), tmp_path, specs)


def test_files_that_are_none_of_openvinos_are_told_in_a_line(tmp_path):
    for name in (onnx_graph.MODEL, openvino_files.BLOB):
        (tmp_path / name).write_bytes(b"no model at all" * 20)
    with pytest.raises(BuildError, match="OpenVINO cannot read the model: ") as told:
        openvino_files.read_model(tmp_path / onnx_graph.MODEL)
    assert "\n" not in str(told.value)
    with pytest.raises(HarnessError, match="OpenVINO cannot load the compiled model: ") as told:
        opened("openvino", Artifact("b", openvino_files.BLOB_FORMAT, tmp_path))
    assert "\n" not in str(told.value)


def test_a_session_imports_no_other_runtime(conv):
    """What a measuring worker of OpenVINO has in memory is OpenVINO."""
    code = (
        "import sys; from pathlib import Path; from harness.artifacts.artifact import Artifact;"
        "from harness.formats.target import Target; from harness.runtimes.registry import RUNTIMES;"
        "entry = RUNTIMES.get('openvino');"
        f"artifact = Artifact('b', 'openvino-blob', Path({str(conv[1].folder)!r}));"
        f"session = entry.open_session(entry.config(), artifact, Target(batch={BATCH}, threads=1));"
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'nncf'} & set(sys.modules)), session.fixed_batch)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == f"[] {BATCH}"


@pytest.mark.parametrize(
    ("module", "step", "extra"),
    [
        ("openvino", "convert-openvino", "openvino"),
        ("openvino", "compile-openvino", "openvino"),
        ("nncf", "quantize/nncf-static", "openvino"),
        ("nncf", "quantize/nncf-weights", "openvino"),
        ("torchao", "quantize/torchao-dynamic", "torchao"),
        ("torchao", "quantize/pt2e-static", "torchao"),
    ],
)
def test_what_is_not_installed_is_named_with_its_extra(module, step, extra, monkeypatch):
    from harness.packages import missing_package
    from harness.techniques.registry import CONVERSIONS, TRANSFORMS

    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == module else real(name, *rest)
    )
    entry = (TRANSFORMS if step in TRANSFORMS else CONVERSIONS).get(step)
    told = missing_package(entry.packages, entry.extra)
    assert module in told
    assert f"accel-harness[{extra}]" in told
    if module == "openvino":
        assert RUNTIMES.get("openvino").missing() == (
            "openvino is not installed: pip install 'accel-harness[openvino]'"
        )


# ------------------------------------------------------------------ streams


def test_streams_share_the_thread_budget_and_serve_each_batch_in_turn_with_the_right_outputs(conv):
    _, blob, specs = conv
    session, reference = opened("openvino", blob, threads=2, streams=2), opened("openvino", blob)
    hint, streams, threads = (
        session.compiled.get_property(name)
        for name in ("PERFORMANCE_HINT", "NUM_STREAMS", "INFERENCE_NUM_THREADS")
    )
    assert (hint, streams, threads) == ("THROUGHPUT", 2, 2)
    pool = [tiny.samples(specs, BATCH, seed) for seed in range(3)]
    calls = [session.bind(batch) for batch in pool]
    served = []
    for count in (1, 2, 7, 8, 9):
        block = session.serve(count, PerfClock())
        assert block.calls == count
        assert (block.calls_ns > 0).all()
        assert block.duration_ns >= block.calls_ns.max()
        np.testing.assert_array_equal(block.last[0], reference.run(pool[block.last_index])[0])
        served.append(block.last_index)
        session.run(tiny.samples(specs, BATCH, 9))  # another batch, as the evaluation has: not in the pool
    assert served == [0, 0, 2, 2, 0]  # a Block starts one after the batch that follows the last
    for call, batch in zip(calls, pool, strict=True):
        np.testing.assert_array_equal(call()[0], reference.run(batch)[0])


def test_streams_are_several_requests_at_once_in_the_scenario_offline(conv):
    from harness.measure.scenarios.registry import SCENARIOS, Seat

    session = opened("openvino", conv[1], threads=2, streams=2)
    calls = [session.bind(tiny.samples(conv[2], BATCH))]
    scenario = SCENARIOS.get("offline")
    workload = scenario.workload(scenario="offline", batch=BATCH)
    load = scenario.load(workload, Seat(session, calls, PerfClock(), block_s=1e-3, cap_s=1e-2))
    assert load.lanes == 2
    load.warm()
    assert load.block().calls % 2 == 0


@pytest.mark.parametrize(
    ("streams", "about", "reason"),
    [
        (2, ("offline", 2, 1), None),
        (1, ("single-stream", 1, 2), None),
        (2, ("single-stream", 2, 1), "streams of OpenVINO work only in the scenario offline"),
        (2, ("offline", 2, 2), "and not in replicas"),
        (3, ("offline", 2, 1), "3 streams need as many threads; the budget is 2"),
    ],
)
def test_streams_that_cannot_work_are_a_reason_to_skip_the_cell(streams, about, reason):
    entry = RUNTIMES.get("openvino")
    found = entry.unfit(entry.config(streams=streams), *about)
    assert found == reason if reason is None else reason in found
