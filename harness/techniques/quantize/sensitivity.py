"""How much the quantization of each single layer changes the outputs, measured on calibration samples."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.formats.onnx.flops import is_product, node_flops
from harness.formats.tensors import Array
from harness.techniques.quantize.ort_library import run_batches

if TYPE_CHECKING:
    import onnx

Outputs = list[NDArray[np.float64]]


@dataclass(frozen=True)
class Layer:
    """The effect on the outputs when only this layer is quantized.

    `sqnr_db` is the signal-to-quantization-noise ratio of the graph's outputs in decibels, `disagreement` the
    share of samples whose top-1 class changes (None where the outputs are not classes), `flops_share` the
    layer's share of the FLOPs of all layers.
    """

    name: str
    operator: str
    sqnr_db: float
    disagreement: float | None
    flops_share: float | None

    def content(self) -> dict[str, Any]:
        """Return the layer as JSON; without any noise, `sqnr_db` is None."""
        return {**asdict(self), "sqnr_db": self.sqnr_db if np.isfinite(self.sqnr_db) else None}


def outputs(path: Path, batches: list[dict[str, Array]]) -> Outputs:
    """Return the graph's outputs over all batches. Raises BuildError when it cannot be run."""
    found = run_batches(path, batches)
    return [np.concatenate(parts).astype(np.float64) for parts in zip(*found, strict=True)]


def sqnr_db(exact: Outputs, found: Outputs) -> float:
    """Return 10 · log10 of signal power over noise power over all outputs; infinite without noise."""
    signal = sum(float(np.square(a).sum()) for a in exact)
    noise = sum(float(np.square(a - b).sum()) for a, b in zip(exact, found, strict=True))
    if not np.isfinite(noise):
        return float("-inf")
    if not noise:
        return float("inf")
    return 10 * float(np.log10(signal / noise)) if signal else float("-inf")


def disagreement(exact: Outputs, found: Outputs) -> float | None:
    """Return the share of top-1 classes that differ in the first output, (samples, …, classes).

    None where its last axis has fewer than two classes.
    """
    first, second = exact[0], found[0]
    if first.ndim < 2 or first.shape[-1] < 2:
        return None
    return float(np.mean(first.argmax(-1) != second.argmax(-1)))


def candidates(model: onnx.ModelProto) -> dict[str, tuple[str, float | None]]:
    """Return the layers that can be quantized: products with a constant weight, with type and FLOPs."""
    constants = {tensor.name for tensor in model.graph.initializer}
    flops = node_flops(model)
    return {
        node.name: (node.op_type, flops[i])
        for i, node in enumerate(model.graph.node)
        if is_product(node) and constants & set(node.input[1:2])
    }


def with_followers(model: onnx.ModelProto, layers: Collection[str]) -> set[str]:
    """Return the nodes that stay in float with `layers`: these, and all that follow up to the next product.

    A quantized addition or pooling behind a layer in float would round its outputs to 8 bits after all. Nodes
    are taken in the graph's order; a product that is not among `layers` ends the chain.
    """
    left: set[str] = set()
    values: set[str] = set()
    for node in model.graph.node:
        follows = not is_product(node) and not values.isdisjoint(node.input)
        if node.name in layers or follows:
            left.add(node.name)
            values.update(node.output)
    return left
