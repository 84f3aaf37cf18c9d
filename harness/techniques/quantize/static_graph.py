"""ONNX Runtime's static quantizer in two parts: ranges once, then as many QDQ graphs as are needed."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.formats.tensors import Array
from harness.techniques.quantize.calibration import Calibration
from harness.techniques.quantize.ort_library import quantizing

if TYPE_CHECKING:
    import onnx

# The histogram must be finer than the 128 levels that the entropy method tries to keep: with as many bins,
# ONNX Runtime's default, the whole range is its only candidate.
_ENTROPY_BINS, _ENTROPY_LEVELS = 1024, 128
MASK = 1e30
"""Values from here on stand for infinity: attention's masks add them to scores that must not count."""


def calibrate(source: Path, config: Calibration, batches: list[dict[str, Array]]) -> Any:
    """Run `batches` through the graph at `source`; return the range of each tensor (TensorsData).

    Raises BuildError when the graph cannot be run on them, or an output is not finite.
    """
    from onnxruntime.quantization import CalibrationMethod

    methods = {
        "minmax": CalibrationMethod.MinMax,
        "entropy": CalibrationMethod.Entropy,
        "percentile": CalibrationMethod.Percentile,
    }
    options = {"symmetric": False, "percentile": config.percentile}
    options |= {"num_bins": _ENTROPY_BINS, "num_quantized_bins": _ENTROPY_LEVELS}
    if config.method == "percentile":
        options["num_bins"] = 2 * _ENTROPY_BINS
    with quantizing("calibration failed"):
        if config.method == "minmax" or not _has_mask(source):
            return _ranges(source, batches, methods[config.method], options)
        plain = _ranges(source, batches, CalibrationMethod.MinMax, {})
        far = _far(plain)  # no histogram reaches so far
        found = _ranges(source, batches, methods[config.method], options, far)
        found.data.update({name: plain[name] for name in far})
        return found


def _ranges(
    source: Path,
    batches: list[dict[str, Array]],
    method: Any,
    options: dict[str, Any],
    left_out: Collection[str] = (),
) -> Any:
    """Return the range of each tensor that the quantizer needs, except those `left_out`."""
    from onnxruntime.quantization.calibrate import create_calibrator

    with tempfile.TemporaryDirectory() as folder:
        calibrator = create_calibrator(
            source,
            _operator_types(),
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
            calibrate_method=method,
            extra_options=options,
        )
        if left_out:
            calibrator.tensors_to_calibrate -= set(left_out)
        left = iter(batches)
        calibrator.collect_data(SimpleNamespace(get_next=lambda: next(left, None)))  # a CalibrationDataReader
        return calibrator.compute_data()


def quantized(
    source: Path,
    ranges: Any,
    resolved: dict[str, Any],
    per_channel: bool,
    exclude: Collection[str] = (),
    only: Collection[str] = (),
) -> onnx.ModelProto:
    """Return the graph at `source` with quantize and dequantize pairs (QDQ).

    Nodes named in `exclude` stay in float; with `only`, all others do. Nodes that read or write a mask's
    minus infinity stay in float as well: a scale that reaches so far would round all other values to zero.

    Raises BuildError when the quantizer fails.
    """
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    graph = _with_shapes(source)
    name_nodes(graph)
    with quantizing():
        quantizer = QDQQuantizer(
            graph,
            per_channel,
            resolved["reduce_range"],
            QuantType.QInt8,
            QuantType.QUInt8 if resolved["types"] == "u8s8" else QuantType.QInt8,
            ranges,
            list(only),
            [*exclude, *_masked(graph, ranges)],
            _operator_types(),
            {},
        )
        quantizer.quantize_model()
        quantizer.model.topological_sort()
    model: onnx.ModelProto = quantizer.model.model
    return model


def _has_mask(source: Path) -> bool:
    """Whether the graph has a constant that reaches `MASK`."""
    import onnx
    from onnx import TensorProto, numpy_helper

    graph = onnx.load(str(source)).graph
    constants = [*graph.initializer, *(a.t for node in graph.node for a in node.attribute if a.HasField("t"))]
    floats = (numpy_helper.to_array(t) for t in constants if t.data_type == TensorProto.FLOAT)
    return any(array.size and not np.abs(array).max() < MASK for array in floats)


def _far(ranges: Any) -> set[str]:
    """Return the names of the tensors whose range reaches `MASK`."""
    return {
        name
        for name, data in ranges.items()
        if not all(np.abs(np.ravel(end)).max() < MASK for end in data.range_value)
    }


def _masked(graph: onnx.ModelProto, ranges: Any) -> list[str]:
    """Return the names of the nodes that read or write a tensor whose range reaches `MASK`."""
    far = _far(ranges)
    return [node.name for node in graph.graph.node if far & {*node.input, *node.output}]


def name_nodes(model: onnx.ModelProto) -> None:
    """Give every node a unique name, which excluding nodes by name requires."""
    taken: set[str] = set()
    for i, node in enumerate(model.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{i}"
        taken.add(node.name)


def _operator_types() -> list[str]:
    """Return all operator types that the quantizer knows, in a stable order."""
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    return sorted({*QLinearOpsRegistry, *QDQRegistry})


def _with_shapes(source: Path) -> onnx.ModelProto:
    """Return the graph with inferred shapes, marked as the quantizer marks what it inferred itself."""
    import onnx
    from onnxruntime.quantization.quant_utils import add_infer_metadata

    model = onnx.shape_inference.infer_shapes(onnx.load(str(source)))
    add_infer_metadata(model)
    return model
