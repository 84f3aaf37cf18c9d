"""Exports of PyTorch modules by torch.export: torch-module → torch-program, and both → onnx.

The batch stays free, so that one Artifact serves every batch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.artifacts.artifact import TRAFFIC, Artifact
from harness.errors import BuildError
from harness.formats.onnx import graph as onnx_graph
from harness.formats.onnx.rewriting import fix_inputs, fold_constants
from harness.formats.onnx.structure import lift_constants
from harness.formats.outputs import unique_names
from harness.formats.registry import COUNTS
from harness.formats.torch import module as torch_module
from harness.formats.torch import program as torch_program
from harness.formats.torch.export import batch_shapes, example_tensors, quiet_exporter
from harness.formats.torch.failures import exporting
from harness.formats.torch.outputs import flat_outputs, named_outputs
from harness.techniques.registry import BuildContext, StepConfig, conversion

if TYPE_CHECKING:
    import onnx
    import torch


@conversion(
    "export-program",
    takes=torch_module.FORMAT,
    yields=torch_program.FORMAT,
    summary="export the module to a torch.export program, with a free batch where torch allows it",
    packages=("torch",),
    specialize_on=("batch",),
    keeps=(*COUNTS, *TRAFFIC),
)
def export_program(_config: StepConfig, source: Artifact, out: Path, context: BuildContext) -> dict[str, Any]:
    """Export the module with its dtype and memory layout."""
    module, batch = torch_module.load_folded(source.folder), context.target.batch
    return torch_program.save_program(module, context.inputs, out, batch=batch, seed=context.seed)


OPSET = 20
"""Opset of exported graphs: the same whatever the exporter's default is."""

_ABOUT: dict[str, Any] = {
    "yields": onnx_graph.FORMAT,
    "packages": ("torch", "onnx", "onnxscript"),
    "keeps": COUNTS,
}


@conversion(
    "export-onnx",
    takes=torch_module.FORMAT,
    summary="export the module to ONNX with a free batch dimension",
    **_ABOUT,
)
def export_onnx(_config: StepConfig, source: Artifact, out: Path, context: BuildContext) -> dict[str, Any]:
    """Export with torch's exporter (based on torch.export); its optimizer folds batch norms."""
    module = torch_module.load_folded(source.folder)
    example = example_tensors(context.inputs, 2, context.seed)
    shapes = batch_shapes(module, context.inputs)
    return _export(module, module, example, out, context, dynamic_shapes=shapes)


@conversion(
    "convert-program",
    takes=torch_program.FORMAT,
    summary="convert the torch.export program to ONNX; its batch stays free or fixed",
    **_ABOUT,
)
def convert_program(
    _config: StepConfig, source: Artifact, out: Path, context: BuildContext
) -> dict[str, Any]:
    """Convert with torch's exporter, which takes the program's own shapes."""
    program = torch_program.load_program(source.folder)
    batch = torch_program.fixed_batch(program, source.folder) or 2
    example = example_tensors(context.inputs, batch, context.seed)
    return _export(program, torch_program.as_module(program), example, out, context)


def _export(
    model: Any,
    module: torch.nn.Module,
    example: tuple[torch.Tensor, ...],
    out: Path,
    context: BuildContext,
    **shapes: Any,
) -> dict[str, Any]:
    """Export `model` (a module, or a program that runs as `module`) and write one ONNX file."""
    import torch

    inputs = [spec.name for spec in context.inputs]
    names = _output_names(module, example, inputs)
    with (
        exporting("torch cannot export the module to ONNX", module),
        quiet_exporter(),
        torch.no_grad(),
        flat_outputs(module),
    ):
        program = torch.onnx.export(
            model,
            example,
            dynamo=True,
            opset_version=OPSET,
            input_names=inputs,
            output_names=names,
            external_data=False,
            verbose=False,
            **shapes,
        )
        assert program is not None  # noqa: S101 (the exporter's type says Optional for its other mode)
    return finish_graph(program.model_proto, out, context)


def finish_graph(made: onnx.ModelProto, out: Path, context: BuildContext) -> dict[str, Any]:
    """Clean an exported graph, name its free batch, and write it into `out`; return details."""
    lift_constants(made)
    _tidy(made)
    fix_inputs(made, context.inputs)
    fold_constants(made)
    onnx_graph.load_checked(onnx_graph.save_model(made, out / onnx_graph.MODEL))
    return {"operators": dict(onnx_graph.operators(made)), "opset": OPSET}


def _output_names(module: torch.nn.Module, example: tuple[torch.Tensor, ...], inputs: list[str]) -> list[str]:
    """Return the names of the outputs; none is an input's. Raises BuildError for a complex output."""
    import torch

    with torch.no_grad():
        outputs = named_outputs(module(*(tensor.clone() for tensor in example)))
    for name, part in outputs:
        if part.is_complex():
            raise BuildError(
                f"the output {name!r} is complex, which ONNX has not: return torch.view_as_real of it"
            )
    return unique_names([name for name, _ in outputs], inputs)


def _tidy(model: onnx.ModelProto) -> None:
    """Remove stack traces and paths of the exporting machine."""
    graph = model.graph
    for part in [graph, *graph.node, *graph.input, *graph.output, *graph.value_info]:
        del part.metadata_props[:]


def exported_copy(module: torch.nn.Module, source: Artifact, folder: Path, context: BuildContext) -> Artifact:
    """Export the module of `source` as a step changed it, below `folder`."""
    changed, graph = folder / "module", folder / "onnx"
    changed.mkdir()
    graph.mkdir()
    torch_module.save_changed(module, source.folder, changed)
    export_onnx(StepConfig(), Artifact("changed", torch_module.FORMAT, changed), graph, context)
    return Artifact("exported", onnx_graph.FORMAT, graph)
