"""ONNX Runtime's static quantizer in two parts: ranges once, then as many QDQ graphs as are needed."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.formats.onnx.structure import complete
from harness.formats.tensors import Array
from harness.techniques.quantize.calibration import Calibration
from harness.techniques.quantize.ort_library import MASK, quantizing
from harness.techniques.quantize.ort_preparation import Prepared

if TYPE_CHECKING:
    import onnx

# The histogram must be finer than the 128 levels that the entropy method tries to keep: with as many bins,
# ONNX Runtime's default, the whole range is its only candidate.
_ENTROPY_BINS, _ENTROPY_LEVELS = 1024, 128


def calibrate(source: Path, config: Calibration, batches: list[dict[str, Array]]) -> Any:
    """Run `batches` through the graph at `source`; return the range of each tensor (TensorsData).

    Histograms take a second pass, batch by batch. Their bins cover the whole range, which is known by then,
    so that they are those of all samples at once, while one batch's activations are in memory. Raises
    BuildError when the graph cannot be run on them, or an output is not finite.
    """
    from onnxruntime.quantization import CalibrationMethod

    with quantizing("calibration failed", remedy=""), tempfile.TemporaryDirectory() as folder:
        calibrator = _calibrator(source, folder, CalibrationMethod.MinMax)
        _collect(calibrator, batches)
        extremes = calibrator.compute_data()
        if config.method == "minmax":
            return extremes
        if config.method == "entropy":
            levels = {"num_bins": _ENTROPY_BINS, "num_quantized_bins": _ENTROPY_LEVELS}
            calibrator = _calibrator(source, folder, CalibrationMethod.Entropy, **levels)
        else:
            share = {"num_bins": 2 * _ENTROPY_BINS, "percentile": config.percentile}
            calibrator = _calibrator(source, folder, CalibrationMethod.Percentile, **share)
        far = _far(extremes)  # no histogram reaches so far
        calibrator.tensors_to_calibrate -= far
        calibrator.collector = _empty_histograms(calibrator, extremes)
        for batch in batches:
            _collect(calibrator, [batch])
        found = calibrator.compute_data()
        found.data.update({name: extremes[name] for name in far})
        return found


def _calibrator(source: Path, folder: str, method: Any, **options: Any) -> Any:
    """Return ONNX Runtime's calibrator of the tensors that the quantizer needs; it writes into `folder`."""
    from onnxruntime.quantization.calibrate import create_calibrator

    return create_calibrator(
        source,
        _operator_types(),
        augmented_model_path=str(Path(folder) / f"{method.name}.onnx"),
        calibrate_method=method,
        use_external_data_format=True,
        extra_options={"symmetric": False, **options},
    )


def _collect(calibrator: Any, batches: list[dict[str, Array]]) -> None:
    left = iter(batches)
    calibrator.collect_data(SimpleNamespace(get_next=lambda: next(left, None)))  # a CalibrationDataReader


def _empty_histograms(calibrator: Any, extremes: Any) -> Any:
    """Return a collector whose histograms are empty and reach as far as the values of all samples.

    Without it, the first batch's range sets the width of bins, and a larger range later adds as many bins as
    it takes, a billion perhaps.
    """
    from onnxruntime.quantization.calibrate import HistogramCollector

    collector = HistogramCollector(
        method=calibrator.method,
        symmetric=calibrator.symmetric,
        num_bins=calibrator.num_bins,
        num_quantized_bins=calibrator.num_quantized_bins,
        percentile=calibrator.percentile,
        scenario=calibrator.scenario,
    )
    for name in calibrator.tensors_to_calibrate:
        low, high = (end.reshape(()) for end in extremes[name].range_value)
        farthest = np.maximum(np.abs(low), np.abs(high))
        bins = np.histogram(np.empty(0, low.dtype), calibrator.num_bins, range=(-farthest, farthest))
        collector.histogram_dict[name] = (*bins, low, high, farthest)
    return collector


def quantized(
    given: Prepared,
    ranges: Any,
    resolved: dict[str, Any],
    per_channel: bool,
    exclude: Collection[str] = (),
    only: Collection[str] = (),
) -> onnx.ModelProto:
    """Return the prepared graph with quantize and dequantize pairs (QDQ).

    Nodes named in `exclude` stay in float; with `only`, all others do. Nodes that read or write a mask's
    minus infinity stay in float as well: a scale that reaches so far would round all other values to zero.

    Raises BuildError when the quantizer fails.
    """
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
    from onnxruntime.quantization.quant_utils import add_infer_metadata

    graph = given.copy()
    add_infer_metadata(graph)  # the preparation has inferred its shapes
    far = _far(ranges)
    with quantizing():
        quantizer = QDQQuantizer(
            graph,
            per_channel,
            resolved["reduce_range"],
            QuantType.QInt8,
            QuantType.QUInt8 if resolved["types"] == "u8s8" else QuantType.QInt8,
            ranges,
            list(only),
            [*exclude, *(node.name for node in graph.graph.node if far & {*node.input, *node.output})],
            _operator_types(),
            {},
        )
        quantizer.quantize_model()
    return complete(quantizer.model.model, given.model)


def _far(ranges: Any) -> set[str]:
    """Return the names of the tensors whose range reaches `MASK`."""
    return {
        name
        for name, data in ranges.items()
        if not all(np.abs(np.ravel(end)).max() < MASK for end in data.range_value)
    }


def _operator_types() -> list[str]:
    """Return all operator types that the quantizer knows, in a stable order."""
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    return sorted({*QLinearOpsRegistry, *QDQRegistry})
