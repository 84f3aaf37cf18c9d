"""torch-module → onnx: exported with a free batch dimension, so that one Artifact serves every batch."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from harness.artifacts.artifact import Artifact
from harness.formats.onnx import graph as onnx_graph
from harness.formats.onnx.rewriting import fold_transposes
from harness.formats.torch import module as torch_module
from harness.formats.torch.export import batch_shapes, example_tensors, quiet_exporter
from harness.techniques.registry import BuildContext, StepConfig, conversion

if TYPE_CHECKING:
    import torch


class ExportOnnx(StepConfig):
    """How the module is exported."""

    opset: int = Field(default=20, ge=18, le=24)


@conversion(
    "export-onnx",
    ExportOnnx,
    takes=torch_module.FORMAT,
    yields=onnx_graph.FORMAT,
    summary="export the module to ONNX with a free batch dimension",
    packages=("torch", "onnx", "onnxscript"),
    keeps=("parameters", "nonzero_parameters", "flops_per_sample"),
)
def export_onnx(config: ExportOnnx, source: Artifact, out: Path, context: BuildContext) -> dict[str, Any]:
    """Export with torch's exporter (torch.export based); batch norms are folded by its optimiser."""
    import onnx
    import torch

    module = torch_module.load_module(source.folder)
    names = [spec.name for spec in context.inputs]
    example = example_tensors(context.inputs, 2, context.seed)
    with quiet_exporter(), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            example,
            dynamo=True,
            opset_version=config.opset,
            input_names=names,
            output_names=_output_names(module, example),
            dynamic_shapes=batch_shapes(module, context.inputs),
            external_data=False,
            verbose=False,
        )
        assert program is not None  # noqa: S101 (the exporter's type says Optional for its other mode)
        program.save(str(out / onnx_graph.MODEL))
    model = onnx_graph.load_checked(out / onnx_graph.MODEL)
    del model.graph.metadata_props[:]
    for part in [*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info]:
        del part.metadata_props[:]  # stack traces and paths of the exporting machine
    fold_transposes(model)
    onnx.save(model, str(out / onnx_graph.MODEL))
    return {"operators": dict(onnx_graph.operators(model)), "opset": config.opset}


def exported_copy(module: torch.nn.Module, source: Artifact, folder: Path, context: BuildContext) -> Artifact:
    """Export what a step made of the module of `source`, with the usual settings, below `folder`."""
    changed, graph = folder / "module", folder / "onnx"
    changed.mkdir()
    graph.mkdir()
    torch_module.save_changed(module, source.folder, changed)
    export_onnx(ExportOnnx(), Artifact("changed", torch_module.FORMAT, changed), graph, context)
    return Artifact("exported", onnx_graph.FORMAT, graph)


def _output_names(module: torch.nn.Module, example: tuple[torch.Tensor, ...]) -> list[str] | None:
    """Names of a dict's outputs, in its order; None leaves them to the exporter."""
    answer = module(*example)
    return [str(name) for name in answer] if isinstance(answer, dict) else None
