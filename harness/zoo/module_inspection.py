"""What planning needs to know of a PyTorch model, found by calling it. For workers only."""

from __future__ import annotations

from collections import Counter
from typing import Any

from torch import nn

from harness.errors import BuildError, DataError
from harness.formats.outputs import OutputSpec
from harness.formats.tensors import TensorSpec
from harness.formats.torch.examine import Examination


def inspect_module(
    module: nn.Module, inputs: tuple[TensorSpec, ...], name: str, *, batch: int | None = None
) -> dict[str, Any]:
    """Return inputs, outputs, fixed batch, parameters, operators and warnings of a module, as JSON.

    `name` is what the user calls the model, `batch` its only batch if it is known. Operators are the types
    of layers. Of a module on another device than the processor no outputs are told. Raises DataError when
    it fails on its inputs.
    """
    tensors = [*module.parameters(), *module.buffers()]
    found: dict[str, Any] = {"outputs": [], "warnings": []}
    if all(tensor.device.type == "cpu" for tensor in tensors):
        try:
            examined = Examination(module, inputs, batch).run()
        except BuildError as error:
            raise DataError(f"{name}: {error}") from error
        outputs = [_output(spec, batch) for spec in examined.outputs]
        found = {"outputs": outputs, "warnings": list(examined.warnings)}
    leaves = (type(part).__name__ for part in module.modules() if next(part.children(), None) is None)
    return {
        "inputs": [spec.model_dump(mode="json") for spec in inputs],
        **found,
        "fixed_batch": batch,
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        "operators": dict(Counter(leaves)),
    }


def _output(spec: OutputSpec, batch: int | None) -> dict[str, Any]:
    """Describe an output; of ``dims``, None is free."""
    dims: list[int | None] | None = None if spec.shape is None else list(spec.shape)
    if dims is not None and spec.batch_axis is not None:
        dims.insert(spec.batch_axis, batch)
    return {"name": spec.name, "dtype": spec.dtype, "dims": dims}
