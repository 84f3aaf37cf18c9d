"""TorchScript → ONNX, by the older of torch's two exporters: the newer one does not take TorchScript."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.artifacts.artifact import Artifact
from harness.formats.onnx import graph as onnx_graph
from harness.formats.outputs import flatten, leaves, unique_names
from harness.formats.registry import COUNTS
from harness.formats.torch import script as torch_script
from harness.formats.torch.export import example_tensors, quiet_exporter
from harness.formats.torch.failures import exporting
from harness.techniques.convert.export import OPSET, finish_graph
from harness.techniques.registry import BuildContext, StepConfig, conversion

if TYPE_CHECKING:
    import torch


@conversion(
    "convert-script",
    takes=torch_script.FORMAT,
    yields=onnx_graph.FORMAT,
    summary="convert TorchScript to ONNX with a free batch dimension",
    packages=("torch", "onnx"),
    keeps=COUNTS,
)
def convert_script(_config: StepConfig, source: Artifact, out: Path, context: BuildContext) -> dict[str, Any]:
    """Convert the script's own graph; branches and loops stay. Raises BuildError for what ONNX has not."""
    import onnx
    import torch

    module = torch_script.load_file(source.folder / torch_script.SCRIPT)
    names, file = [spec.name for spec in context.inputs], out / onnx_graph.MODEL
    example = example_tensors(context.inputs, 2, context.seed)
    with (
        exporting("torch cannot convert this TorchScript to ONNX", module),
        quiet_exporter(),
        torch.no_grad(),
    ):
        result = module(*example)
        if isinstance(result, Mapping):
            module = torch.jit.trace(_without_dicts(module), example)  # type: ignore[no-untyped-call]
        torch.onnx.export(
            module,
            example,
            file,
            dynamo=False,
            opset_version=OPSET,
            input_names=names,
            output_names=unique_names([name for name, _ in flatten(result)], names),
            dynamic_axes={
                spec.name: {spec.batch_axis: onnx_graph.BATCH}
                for spec in context.inputs
                if spec.batch_axis is not None
            },
        )
    return finish_graph(onnx.load(str(file)), out, context)


def _without_dicts(script: Any) -> torch.nn.Module:
    """Return a module that returns the leaves of the script's result; the exporter takes no dictionaries."""
    import torch

    class Leaves(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.script = script

        def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tuple(leaves(self.script(*inputs)))

    return Leaves()
