"""Exporting a module for PT2E's quantizers, which find layers by the module that each operator came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.formats.tensors import TensorSpec
from harness.formats.torch.export import batch_shapes, example_tensors

if TYPE_CHECKING:
    import torch


def exported_graph(module: torch.nn.Module, inputs: tuple[TensorSpec, ...]) -> Any:
    """Return the graph of `module` in its present mode, its batch free (a torch.fx.GraphModule)."""
    import torch

    example = example_tensors(inputs, 2, seed=0)
    graph = torch.export.export(module, example, dynamic_shapes=batch_shapes(module, inputs)).module()
    _tell_calls_apart(graph)
    return graph


def _tell_calls_apart(graph: Any) -> None:
    """Give each call of a module that is called several times a name of its own.

    The second call of one ReLU would belong to the first one's partition, which then has two outputs, and
    the quantizers fail. The exporter marks it in the key alone: ``L__self__block.relu@1``.
    """
    for node in graph.graph.nodes:
        stack = node.meta.get("nn_module_stack")
        if stack and "@" in (key := next(reversed(stack))):
            node.meta["nn_module_stack"] = {**stack, key: (key, stack[key][1])}
