"""Types of float and layout of a module: what it computes with, saved, loaded and compiled."""

from __future__ import annotations

import numpy as np
import pytest
import tiny

from harness.errors import BuildError
from harness.formats.target import Target
from harness.formats.torch import module as torch_module
from harness.runtimes.registry import RUNTIMES
from harness.suite.pipeline import Choice, Pipeline
from harness.techniques.registry import families

torch = pytest.importorskip("torch")

EPSILON = {"bf16": 2.0**-8, "fp16": 2.0**-11}  # half a unit in the last place of numbers near 1
TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def context(inputs=tiny.VECTOR):
    return tiny.Context(inputs, target=Target(batch=3, threads=1))


def precision(name, dtype, folder, **factory):
    specs = tiny.INPUTS[name]
    source = tiny.source(name, folder / "m", **factory)
    artifact, about = tiny.build(f"precision/{dtype}/module", source, folder / dtype, context(specs))
    return source, artifact, about, specs


def run(name, artifact, inputs):
    entry = RUNTIMES.get(name)
    return entry.open_session(entry.config(), artifact, Target(batch=3, threads=1)).run(inputs)


@pytest.mark.parametrize("dtype", EPSILON)
def test_a_dense_layer_rounds_weights_and_inputs_as_numpy_would(dtype, tmp_path):
    source, artifact, _, specs = precision("linear", dtype, tmp_path)
    (x,) = tiny.samples(specs, 3)

    def rounded(array):
        return torch.from_numpy(array).to(TYPES[dtype]).double().numpy()

    layer = next(p for p in torch_module.load_module(source.folder).modules() if hasattr(p, "weight"))
    bias = 0.0 if layer.bias is None else rounded(layer.bias.numpy())
    expected = rounded(x) @ rounded(layer.weight.numpy()).T + bias
    (found,) = run("torch-eager", artifact, (x,))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=2 * EPSILON[dtype], atol=EPSILON[dtype])
    assert np.abs(found - tiny.eager(source, (x,))[0]).max() > 0


def test_beside_an_lstm_in_16_bits_no_share_is_made_up(tmp_path):
    _, _, about, _ = precision("recurrent", "bf16", tmp_path)
    assert about["low_precision_flops_share"] is None and about["flops_by_type"] is None
    assert sum(about["half_operators"].values()) == 2


@pytest.mark.parametrize("dtype", EPSILON)
@pytest.mark.parametrize("name", ["dense", "conv", "two_inputs", "two_outputs"])
def test_everything_computes_in_16_bits_and_outputs_stay_near(name, dtype, tmp_path):
    source, artifact, about, specs = precision(name, dtype, tmp_path)
    assert about["float_operators"] == {}
    assert about["low_precision_flops_share"] == about["low_precision_weight_share"] == 1.0
    assert sum(about["half_operators"].values()) >= 1
    assert about["flops_by_type"] == {about["compute_dtype"]: 1.0}
    assert about["compute_dtype"] == {"bf16": "bfloat16", "fp16": "float16"}[dtype]
    sizes = [a.file(torch_module.WEIGHTS).stat().st_size for a in (artifact, source)]
    assert sizes[0] < sizes[1]
    inputs = tiny.samples(specs, 3)
    for found, expected in zip(run("torch-eager", artifact, inputs), tiny.eager(source, inputs), strict=True):
        assert found.dtype == np.float32
        assert 0 < np.abs(found - expected).max() < 16 * EPSILON[dtype] * np.abs(expected).max()


def test_weights_beyond_float16_are_told(tmp_path):
    source = tiny.source("linear", tmp_path / "m")
    module = torch_module.load_module(source.folder)
    next(module.parameters()).data[0, 0] = 1e5
    (tmp_path / "large").mkdir()
    torch_module.save_changed(module, source.folder, tmp_path / "large")
    large = tiny.Artifact("large", torch_module.FORMAT, tmp_path / "large")
    with pytest.raises(BuildError, match=r"weight: weights beyond the largest number of float16"):
        tiny.build("precision/fp16/module", large, tmp_path / "q", context())
    tiny.build("precision/bf16/module", large, tmp_path / "b", context())


def test_a_module_that_multiplies_nothing_is_refused(tmp_path):
    with pytest.raises(BuildError, match="nothing computes in 16 bits"):
        precision("no_weights", "bf16", tmp_path)


def test_channels_last_gives_the_same_outputs_from_weights_and_images_in_that_order(tmp_path):
    source = tiny.source("conv", tmp_path / "m")
    artifact, about = tiny.build("layout/channels-last", source, tmp_path / "l", context(tiny.IMAGE))
    assert about == {"channels_last_convolutions": 2}
    module = torch_module.load_module(artifact.folder)
    convolutions = [part for part in module.modules() if isinstance(part, torch.nn.Conv2d)]
    seen = []
    for part in convolutions:
        assert part.weight.is_contiguous(memory_format=torch.channels_last)
        part.register_forward_pre_hook(lambda _m, given: seen.append(given[0]))
    inputs = tiny.samples(tiny.IMAGE, 3)
    module(torch.from_numpy(inputs[0]))
    assert len(seen) == 2
    assert all(image.is_contiguous(memory_format=torch.channels_last) for image in seen)
    (found,), (expected,) = run("torch-eager", artifact, inputs), tiny.eager(source, inputs)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_module_without_convolutions_has_no_layout(tmp_path):
    with pytest.raises(BuildError, match="layout does nothing here: the module has no 2-D convolution"):
        tiny.build("layout/channels-last", tiny.source("dense", tmp_path / "m"), tmp_path / "l", context())


def both(folder):
    source, artifact, _, specs = precision("conv", "bf16", folder)
    artifact, _ = tiny.build("layout/channels-last", artifact, folder / "l", context(specs))
    return source, artifact, specs


def test_a_later_step_keeps_how_the_module_computes(tmp_path):
    _, artifact, _ = both(tmp_path)
    module = torch_module.load_module(artifact.folder)
    convolution = next(part for part in module.modules() if isinstance(part, torch.nn.Conv2d))
    assert convolution.weight.dtype == torch.bfloat16
    assert convolution.weight.is_contiguous(memory_format=torch.channels_last)
    pruned, _ = tiny.build(
        "prune/unstructured",
        artifact,
        tmp_path / "p",
        context(tiny.IMAGE),
        sparsity=0.5,
        finetune={"epochs": 0},
    )
    again = torch_module.load_module(pruned.folder)
    assert {p.dtype for p in again.parameters()} == {torch.bfloat16}
    (x,) = tiny.samples(tiny.IMAGE, 3)
    assert run("torch-eager", pruned, (x,))[0].dtype == np.float32


@pytest.mark.slow
def test_a_compiled_module_computes_as_it_did(tmp_path):
    source, artifact, specs = both(tmp_path)
    package, _ = tiny.build("compile-aoti", artifact, tmp_path / "c", context(specs))
    inputs = tiny.samples(specs, 3)
    found, expected = run("torch-compile", package, inputs)[0], tiny.eager(source, inputs)[0]
    assert found.dtype == np.float32
    assert 0 < np.abs(found - expected).max() < 16 * EPSILON["bf16"] * np.abs(expected).max()


@pytest.mark.parametrize(
    ("runtime", "names"),
    [
        ("torch-eager", ["precision/fp16/module"]),
        ("torch-compile", ["precision/fp16/module", "compile-aoti"]),
        ("onnxruntime", ["export-onnx", "precision/fp16/onnx"]),
    ],
)
def test_the_runtime_decides_which_format_is_cast(runtime, names):
    steps = families()["precision"].variants["fp16"]
    entry = RUNTIMES.get(runtime)
    pipeline = Pipeline("t", (Choice(steps, steps[0].config()),), entry, entry.config())
    assert [stage.step.name for stage in pipeline.stages(torch_module.FORMAT)] == names


@pytest.mark.parametrize(
    ("runtime", "fits"), [("torch-eager", True), ("torch-compile", True), ("onnxruntime", False)]
)
def test_a_layout_that_a_conversion_drops_is_refused(runtime, fits):
    steps = families()["layout"].variants["channels-last"]
    entry = RUNTIMES.get(runtime)
    pipeline = Pipeline("t", (Choice(steps, steps[0].config()),), entry, entry.config())
    if fits:
        assert pipeline.stages(torch_module.FORMAT)[0].step.name == "layout/channels-last"
    else:
        with pytest.raises(ValueError, match="layout/channels-last has no effect: export-onnx does not"):
            pipeline.stages(torch_module.FORMAT)
