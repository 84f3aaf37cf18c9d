"""A torch.export program and a TorchScript file as models: built, described, and giving the same outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import tiny_factories

from harness.artifacts.artifact import Artifact
from harness.errors import DataError
from harness.formats.target import Target
from harness.runtimes.registry import RUNTIMES
from harness.techniques.registry import CONVERSIONS
from harness.zoo.source import SOURCES

torch = pytest.importorskip("torch")
onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
BATCH = torch.export.Dim("batch")


class Two(torch.nn.Module):
    """Two inputs of different kinds, two named outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(9, 4)

    def forward(self, tokens: torch.Tensor, scale: torch.Tensor) -> dict[str, torch.Tensor]:
        rows = self.table(tokens)
        return {"rows": rows * scale[:, None], "sum": rows.sum((1, 2))}


def example(batch: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.arange(batch * 5).reshape(batch, 5) % 9, torch.arange(batch * 4.0).reshape(batch, 4)


def saved(folder: Path, free: bool = True, named: bool = False) -> Two:
    torch.manual_seed(0)
    module, tensors = Two().eval(), example()
    shapes = ({0: BATCH}, {0: BATCH}) if free else None
    if named:
        keywords = dict(zip(("scale", "tokens"), tensors[::-1], strict=True))
        shapes = {"scale": {0: BATCH}, "tokens": {0: BATCH}}
        program = torch.export.export(module, (), keywords, dynamic_shapes=shapes)
    else:
        program = torch.export.export(module, tensors, dynamic_shapes=shapes)
    torch.export.save(program, folder / "m.pt2")
    torch.jit.save(torch.jit.trace(module, tensors, strict=False), folder / "m.pt")
    return module


def built(key: str, folder: Path, **settings: Any) -> tuple[Artifact, Any]:
    source = SOURCES.get(key)
    config = source.config.model_validate(settings)
    out = folder / f"built-{key}"
    out.mkdir()
    return Artifact("source", source.format, out), source.build(config, folder, out)


def convert(name: str, artifact: Artifact, out: Path, inputs: Any) -> None:
    step = CONVERSIONS.get(name)
    step.build(step.config(), artifact, out, tiny.Context(inputs))


def outputs(artifact: Artifact, runtime: str, inputs: Any, batch: int) -> list[np.ndarray]:
    """Run an Artifact in a runtime; scale and tokens in the order of its inputs."""
    entry = RUNTIMES.get(runtime)
    session = entry.open_session(entry.config(), artifact, Target(batch=batch, threads=1))
    values = dict(zip(("tokens", "scale"), (tensor.numpy() for tensor in example(batch)), strict=True))
    return list(session.bind([values[spec.name] for spec in inputs])())


@pytest.mark.parametrize("named", [False, True])
def test_a_program_runs_as_the_module_that_it_was_exported_from(tmp_path: Path, named: bool) -> None:
    module = saved(tmp_path, named=named)
    artifact, inputs = built("program", tmp_path, program="m.pt2")
    assert {(spec.name, spec.shape, spec.dtype) for spec in inputs} == {
        ("tokens", (5,), "int64"),
        ("scale", (4,), "float32"),
    }
    expected = [value.detach().numpy() for value in module(*example(7)).values()]
    converted = tmp_path / "onnx"
    converted.mkdir()
    convert("convert-program", artifact, converted, inputs)
    for made, runtime in ((artifact, "torch-eager"), (Artifact("c", "onnx", converted), "onnxruntime")):
        for found, right in zip(outputs(made, runtime, inputs, 7), expected, strict=True):
            np.testing.assert_allclose(found, right, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("free", [True, False])
def test_what_is_known_of_a_program_comes_from_its_signature(tmp_path: Path, free: bool) -> None:
    saved(tmp_path, free=free)
    source = SOURCES.get("program")
    assert source.inspect is not None
    found = source.inspect(source.config(program="m.pt2"), tmp_path)
    assert found["fixed_batch"] == (None if free else 3)
    first = None if free else 3
    assert found["outputs"] == [
        {"name": "rows", "dtype": "float32", "dims": [first, 5, 4]},
        {"name": "sum", "dtype": "float32", "dims": [first]},
    ]
    assert found["parameters"] == 36


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"tokens": [6], "scale": [4]}, r"input 'tokens' is given as \[6\] float32; it is \[5\] int64"),
        ({"ids": [5]}, "inputs name ids; it has tokens, scale"),
    ],
)
def test_inputs_that_do_not_fit_a_program_are_refused(tmp_path: Path, inputs: Any, says: str) -> None:
    saved(tmp_path)
    with pytest.raises(DataError, match=rf"m\.pt2: {says}"):
        built("program", tmp_path, program="m.pt2", inputs=inputs)


def test_a_free_dimension_besides_the_batch_is_asked_for(tmp_path: Path) -> None:
    length = torch.export.Dim("length")
    module, tensors = torch.nn.Embedding(9, 4), (example()[0],)
    program = torch.export.export(module, tensors, dynamic_shapes=({0: BATCH, 1: length},))
    torch.export.save(program, tmp_path / "m.pt2")
    with pytest.raises(DataError, match="has free dimensions besides the batch; give its shape under inputs"):
        built("program", tmp_path, program="m.pt2")
    given = {"input": {"shape": [6], "dtype": "int64", "high": 9}}
    assert built("program", tmp_path / "..", program=str(tmp_path / "m.pt2"), inputs=given)[1][0].shape == (
        6,
    )


def test_torchscript_runs_and_is_converted_to_onnx(tmp_path: Path) -> None:
    module = saved(tmp_path)
    given = {"scale": [4], "tokens": {"shape": [5], "dtype": "int64", "high": 9}}
    artifact, inputs = built("torchscript", tmp_path, torchscript="m.pt", inputs=given)
    assert [spec.name for spec in inputs] == ["tokens", "scale"]  # the order of its forward
    expected = [value.detach().numpy() for value in module(*example(7)).values()]
    converted = tmp_path / "onnx"
    converted.mkdir()
    convert("convert-script", artifact, converted, inputs)
    for made, runtime in ((artifact, "torch-eager"), (Artifact("c", "onnx", converted), "onnxruntime")):
        for found, right in zip(outputs(made, runtime, inputs, 7), expected, strict=True):
            np.testing.assert_allclose(found, right, rtol=1e-5, atol=1e-6)


def test_a_program_takes_its_batch_where_the_suite_says(tmp_path: Path) -> None:
    class Scaled(torch.nn.Module):
        def forward(self, x: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
            return x * rate

    shapes, tensors = ({1: BATCH}, None), (torch.ones(3, 4, 2), torch.ones(2))
    torch.export.save(torch.export.export(Scaled(), tensors, dynamic_shapes=shapes), tmp_path / "m.pt2")
    inputs = {"x": {"shape": [3, 2], "batch_axis": 1}, "rate": {"shape": [2], "batch_axis": None}}
    given, specs = built("program", tmp_path, program="m.pt2", inputs=inputs)
    session = RUNTIMES.get("torch-eager").open_session(None, given, Target(batch=5, threads=1))
    assert (session.fixed_batch, [spec.batch_axis for spec in specs]) == (None, [1, None])
    assert session.run([np.ones((3, 5, 2), np.float32), np.ones(2, np.float32)])[0].shape == (3, 5, 2)


def test_a_scripts_batch_is_free_along_its_axis_and_an_input_without_one_stays(tmp_path: Path) -> None:
    class Scaled(torch.nn.Module):
        def forward(self, x: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
            return (x * rate).transpose(0, 1).reshape(x.shape[1], -1)

    torch.jit.save(torch.jit.script(Scaled()), tmp_path / "m.pt")
    inputs = {"x": {"shape": [3, 2], "batch_axis": 1}, "rate": {"shape": [2], "batch_axis": None}}
    given, specs = built("torchscript", tmp_path, torchscript="m.pt", inputs=inputs)
    (tmp_path / "onnx").mkdir()
    convert("convert-script", given, tmp_path / "onnx", specs)
    made = onnx.load(str(tmp_path / "onnx" / "model.onnx"))
    dims = [[d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in made.graph.input]
    assert dims == [[3, "batch", 2], [2]]
    x, rate = np.arange(30, dtype=np.float32).reshape(3, 5, 2), np.array([1, 2], np.float32)
    (found,) = onnxruntime.InferenceSession(made.SerializeToString()).run(None, {"x": x, "rate": rate})
    np.testing.assert_array_equal(found, (x * rate).transpose(1, 0, 2).reshape(5, -1))


@pytest.mark.parametrize("frozen", [False, True])
def test_a_script_is_in_eval_mode_whatever_it_was_saved_in(tmp_path: Path, frozen: bool) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(0.5))
    script = torch.jit.script(module.eval() if frozen else module.train())
    torch.jit.save(torch.jit.freeze(script) if frozen else script, tmp_path / "m.pt")
    source = SOURCES.get("torchscript")
    config = source.config.model_validate({"torchscript": "m.pt", "inputs": {"input": [4]}})
    assert source.inspect is not None
    found = source.inspect(config, tmp_path)
    assert found["outputs"] == [{"name": "output", "dtype": "float32", "dims": [None, 4]}]
    artifact, inputs = built("torchscript", tmp_path, torchscript="m.pt", inputs={"input": [4]})
    entry = RUNTIMES.get("torch-eager")
    session = entry.open_session(entry.config(), artifact, Target(batch=2, threads=1))
    x = np.ones((2, 4), np.float32)
    (found_output,) = session.bind([x])()
    np.testing.assert_allclose(found_output, module.eval()(torch.from_numpy(x)).detach().numpy(), rtol=1e-5)
    assert [spec.name for spec in inputs] == ["input"]


def test_the_shapes_of_a_script_are_asked_for_and_its_inputs_named(tmp_path: Path) -> None:
    saved(tmp_path)
    with pytest.raises(
        DataError, match=r"such as inputs: \{tokens: \[3, 224, 224\], scale: \[3, 224, 224\]\}"
    ):
        built("torchscript", tmp_path, torchscript="m.pt")
    (tmp_path / "built-torchscript").rmdir()
    with pytest.raises(DataError, match="inputs name ids; its forward takes tokens, scale"):
        built("torchscript", tmp_path, torchscript="m.pt", inputs={"ids": [5]})


def test_files_of_another_kind_are_told_apart_before_they_are_loaded(tmp_path: Path) -> None:
    saved(tmp_path)
    torch.save(tiny_factories.conv(), tmp_path / "pickle.pt")
    for key, name, says in (
        ("program", "m.pt", "m.pt is a TorchScript model; wanted: a torch.export program"),
        ("torchscript", "m.pt2", "m.pt2 is a torch.export program; wanted: a TorchScript model"),
        ("torchscript", "pickle.pt", "pickle.pt is a pickle with objects of tiny_factories.Conv"),
        ("program", "none.pt2", "none.pt2: no such file beside the suite"),
    ):
        source = SOURCES.get(key)
        with pytest.raises(DataError) as told:
            source.identity(source.config.model_validate({key: name}), tmp_path)
        assert str(told.value).startswith(says)


def test_the_address_of_a_file_follows_its_content_and_the_code_of_its_source(tmp_path: Path) -> None:
    saved(tmp_path)
    program, script = SOURCES.get("program"), SOURCES.get("torchscript")
    assert program.code != script.code
    config = program.config.model_validate({"program": "m.pt2"})
    before = program.identity(config, tmp_path)
    assert before == program.identity(config, tmp_path)
    torch.export.save(torch.export.export(Two().eval(), example()), tmp_path / "m.pt2")
    assert program.identity(config, tmp_path) != before
