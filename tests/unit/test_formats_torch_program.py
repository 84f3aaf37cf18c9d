"""A torch.export program: a changed structure in one file, the same outputs in every runtime, batch free."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
import tiny

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError
from harness.formats.registry import count_statistics
from harness.formats.target import Target
from harness.formats.tensors import TensorSpec
from harness.runtimes.registry import RUNTIMES
from harness.suite.pipeline import Pipeline
from harness.techniques.registry import CONVERSIONS, TRANSFORMS, StepConfig, families, transform
from harness.zoo.source import SOURCES

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from harness.formats.onnx import graph as onnx_graph  # noqa: E402
from harness.formats.torch import module as torch_module  # noqa: E402
from harness.formats.torch import program as torch_program  # noqa: E402

RUNTIME_NAMES = ["torch-eager", "onnxruntime", pytest.param("torch-compile", marks=pytest.mark.slow)]


class DropLayer(StepConfig):
    """Replace a module by one that passes its input on."""

    name: str


@pytest.fixture
def drop_layer():
    """A toy transform that no factory with changed attributes can describe."""
    TRANSFORMS.names()

    @transform(
        "drop-layer",
        DropLayer,
        takes=(torch_module.FORMAT,),
        yields=torch_program.FORMAT,
        summary="drop a layer",
        specialize_on=("batch",),
    )
    def build(config, source, out, context):
        module = torch_module.load_module(source.folder)
        module.set_submodule(config.name, torch.nn.Identity())
        return torch_program.save_program(module, context.inputs, out, batch=context.target.batch)

    yield TRANSFORMS.get("drop-layer")
    TRANSFORMS._items.pop("drop-layer")


def stages(step, config, runtime):
    from harness.suite.pipeline import Choice

    entry = RUNTIMES.get(runtime)
    return Pipeline("t", (Choice((step,), config),), entry, entry.config()).stages(torch_module.FORMAT)


def built(name, runtime, folder, step, config, batch):
    """Build the tiny model `name` with a step and the conversions that the planner inserts."""
    context = tiny.Context(tiny.INPUTS[name], target=Target(batch=batch, threads=1))
    artifact = tiny.source(name, folder / "source")
    chain = stages(step, config, runtime)
    for i, stage in enumerate(chain):
        (folder / str(i)).mkdir()
        stage.step.build(stage.config, artifact, folder / str(i), context)
        artifact = Artifact(str(i), stage.step.yields, folder / str(i))
    return artifact, [stage.step.name for stage in chain]


def run(runtime, artifact, inputs):
    entry = RUNTIMES.get(runtime)
    return entry.open_session(entry.config(), artifact, Target(len(inputs[0]), threads=1)).run(inputs)


@pytest.mark.parametrize("runtime", RUNTIME_NAMES)
@pytest.mark.parametrize(
    ("name", "layer"), [("dense", "1"), ("conv", "norm"), ("two_outputs", "left"), ("named", "body")]
)
def test_a_dropped_layer_gives_the_same_outputs_in_every_runtime(drop_layer, name, layer, runtime, tmp_path):
    inputs = tiny.samples(tiny.INPUTS[name], 3)
    artifact, steps = built(name, runtime, tmp_path, drop_layer, DropLayer(name=layer), batch=3)
    conversion = {"torch-eager": [], "onnxruntime": ["convert-program"], "torch-compile": ["compile-program"]}
    assert steps == ["drop-layer", *conversion[runtime]]
    module = torch_module.load_module(tmp_path / "source")
    whole = tiny.eager(Artifact("s", torch_module.FORMAT, tmp_path / "source"), inputs)
    module.set_submodule(layer, torch.nn.Identity())
    result = module(*map(torch.from_numpy, inputs))
    parts = result.values() if isinstance(result, dict) else result
    expected = [part.numpy() for part in (parts if not isinstance(parts, torch.Tensor) else (parts,))]
    found = run(runtime, artifact, inputs)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    assert expected[0].shape != whole[0].shape or np.abs(expected[0] - whole[0]).max() > 1e-3


def exported(name, folder, batch=2):
    source = tiny.source(name, folder / "source")
    context = tiny.Context(tiny.INPUTS[name], target=Target(batch=batch, threads=1))
    return (source, *tiny.build("export-program", source, folder / "program", context))


@pytest.mark.parametrize(
    "name", ["dense", "conv", "tied_head", "two_inputs", "two_outputs", "named", "recurrent"]
)
def test_a_program_runs_at_any_batch_and_counts_what_its_module_counts(name, tmp_path):
    source, program, details = exported(name, tmp_path)
    assert details == {"free_batch": True}
    specs = tiny.INPUTS[name]
    for batch in (1, 5):
        inputs = tiny.samples(specs, batch)
        for one, other in zip(run("torch-eager", program, inputs), tiny.eager(source, inputs), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    counted = count_statistics(torch_program.FORMAT, program.folder, specs)
    assert counted == pytest.approx(count_statistics(torch_module.FORMAT, source.folder, specs))
    assert counted["parameters"] > 0


def test_its_onnx_graph_has_a_free_batch_and_the_names_of_inputs_and_outputs(tmp_path):
    _, program, _ = exported("named", tmp_path)
    artifact, details = tiny.build("convert-program", program, tmp_path / "onnx", tiny.Context())
    model = onnx_graph.load_checked(artifact.file(onnx_graph.MODEL))
    assert onnx_graph.input_specs(model) == list(tiny.INPUTS["named"])
    assert [value.name for value in model.graph.output] == ["scores", "hidden"]
    firsts = [v.type.tensor_type.shape.dim[0] for v in (*model.graph.input, *model.graph.output)]
    assert {dim.dim_param for dim in firsts} == {"batch"}
    assert details["operators"] == dict(onnx_graph.operators(model))


class NeedsItsBatch(torch.nn.Module):
    """Code that depends on the batch: torch cannot export it with a free one."""

    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x) * (2.0 if x.shape[0] == 3 else 1.0)


def saved(module, folder, batch):
    folder.mkdir()
    details = torch_program.save_program(module, tiny.VECTOR, folder, batch=batch)
    return Artifact("p", torch_program.FORMAT, folder), details


@pytest.mark.parametrize("step", ["", "convert-program"])
def test_a_batch_that_cannot_be_free_is_fixed_and_told(step, tmp_path):
    artifact, details = saved(NeedsItsBatch(), tmp_path / "p", 3)
    assert (details["free_batch"], details["batch"]) == (False, 3)
    assert details["fixed_because"]
    counted = count_statistics(torch_program.FORMAT, artifact.folder, tiny.VECTOR)
    assert counted["flops_per_sample"] == 2 * 8 * 4
    if step:
        artifact, _ = tiny.build(step, artifact, tmp_path / "o", tiny.Context(target=Target(3)))
    runtime = RUNTIMES.get("onnxruntime" if step else "torch-eager")
    session = runtime.open_session(runtime.config(), artifact, Target(batch=3, threads=1))
    assert session.fixed_batch == 3
    (x,) = tiny.samples(tiny.VECTOR, 3)
    module, _ = torch_program.load_runnable(torch_program.FORMAT, tmp_path / "p")
    np.testing.assert_allclose(
        session.run((x,))[0], module(torch.from_numpy(x)).numpy(), rtol=1e-5, atol=1e-6
    )


def test_compiling_a_fixed_program_for_another_batch_is_refused(tmp_path):
    artifact, _ = saved(NeedsItsBatch(), tmp_path / "p", 3)
    with pytest.raises(BuildError, match="the program has a fixed batch of 3; the workload's is 2"):
        tiny.build("compile-program", artifact, tmp_path / "c", tiny.Context(target=Target(2)))


def test_a_module_that_cannot_be_exported_is_refused_with_torchs_reason(tmp_path):
    class Branches(torch.nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(BuildError, match="torch cannot export the module: "):
        saved(Branches(), tmp_path / "p", 2)


def test_the_file_holds_no_pickled_code_no_inputs_and_no_paths(tmp_path):
    _, program, _ = exported("conv", tmp_path)
    with zipfile.ZipFile(program.file(torch_program.PROGRAM)) as packed:
        names = {name.partition("/")[2] for name in packed.namelist()}
        content = {name: packed.read(name) for name in packed.namelist()}
    assert "models/model.json" in names
    assert not any(
        str(tmp_path).encode() in text or b"tiny_factories.py" in text for text in content.values()
    )
    assert torch_program.load_program(program.folder).example_inputs is None
    assert sum(map(len, content.values())) < 40_000  # 4,964 parameters and a small graph


@pytest.mark.parametrize("step", ["precision", "layout"])
def test_dtype_and_memory_layout_stay_in_the_program(step, tmp_path):
    name = {"precision": "precision/bf16/module", "layout": "layout/channels-last"}[step]
    context = tiny.Context(tiny.IMAGE)
    changed, _ = tiny.build(name, tiny.source("conv", tmp_path / "s"), tmp_path / "c", context)
    program, _ = tiny.build("export-program", changed, tmp_path / "p", context)
    module, _ = torch_program.load_runnable(program.format, program.folder)
    weight = module.get_parameter("conv2.weight")
    if step == "precision":
        assert weight.dtype == torch.bfloat16
    else:
        assert weight.is_contiguous(memory_format=torch.channels_last)
    inputs = tiny.samples(tiny.IMAGE, 3)
    (found,) = run("torch-eager", program, inputs)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, tiny.eager(changed, inputs)[0])


def test_no_chain_of_today_goes_through_a_program():
    """It is there for steps that yield it: shorter conversions stay what they were."""
    for entry in RUNTIMES.values():
        for source in {source.format for source in SOURCES.values()}:
            chain = (
                Pipeline("t", (), entry, entry.config()).stages(source) if source == "torch-module" else []
            )
            assert torch_program.FORMAT not in [stage.step.yields for stage in chain]
    assert not any(
        torch_program.FORMAT in (*step.takes, step.yields)
        for family in families().values()
        for steps in family.variants.values()
        for step in steps
    )
    assert CONVERSIONS.get("export-program").yields == torch_program.FORMAT


def test_programs_of_two_inputs_take_them_in_order(tmp_path):
    class Difference(torch.nn.Module):
        def forward(self, first, second):
            return first - 2 * second

    specs = (TensorSpec(name="a", shape=(4,)), TensorSpec(name="b", shape=(4,)))
    torch_program.save_program(Difference(), specs, tmp_path, batch=1)
    a, b = tiny.samples(specs, 3)
    found = run("torch-eager", Artifact("p", torch_program.FORMAT, tmp_path), (a, b))
    np.testing.assert_allclose(found[0], a - 2 * b, rtol=1e-6)
