"""Static int8 for OpenVINO by NNCF, calibrated on training data; helpers of all NNCF steps."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError
from harness.formats import openvino as openvino_files
from harness.formats.low_precision.openvino import report
from harness.formats.registry import COUNTS
from harness.formats.tensors import TensorSpec
from harness.techniques.blame import Excluding, check_excluded, naming
from harness.techniques.quantize.calibration import CalibrationSamples, cut, draw_samples, used
from harness.techniques.quantize.ranges import ReducedWeights, is_reduced, resolve_range
from harness.techniques.registry import BuildContext, transform
from harness.zoo.registry import Data

IR: dict[str, Any] = {
    "takes": (openvino_files.IR_FORMAT,),
    "yields": openvino_files.IR_FORMAT,
    "packages": ("nncf", "openvino"),
    "extra": "openvino",
    "devices": ("cpu",),
    "keeps": COUNTS,
}
"""How all NNCF steps are registered."""
STATIC = {**IR, "resolve": resolve_range, "needs_training_data": lambda _config: True}
"""How both static steps are registered."""


class NncfCalibration(CalibrationSamples):
    """How many training samples are drawn, with the Suite's seed, and how ranges follow from them."""

    method: Literal["mean-minmax", "minmax", "histogram"] = Field(
        default="mean-minmax",
        description="mean-minmax: the mean over samples of each sample's smallest and largest value",
    )


def load_nncf() -> Any:
    """Import NNCF without hints in the Cell's log."""
    import nncf

    nncf.set_log_level(logging.ERROR)
    return nncf


@contextlib.contextmanager
def by_nncf(model: Any) -> Iterator[None]:
    """Raise BuildError with the node of `model` for what NNCF raises."""
    from nncf.common.graph import NNCFNode

    def name(value: Any) -> str | None:
        return f"node {value.node_name}" if isinstance(value, NNCFNode) else None

    known = [node.get_friendly_name() for node in model.get_ops()]
    with naming("NNCF failed", name, known=known):
        yield


def read_folded(source: Artifact, exclude: Collection[str]) -> Any:
    """Read the model of `source` and compute what depends on constants alone.

    Encoders look up constant positions in a table: NNCF fails on such a node, which is none of the network.
    Raises BuildError when a name under `exclude` is that of no node.
    """
    from openvino.passes import ConstantFolding, Manager

    model = openvino_files.read_model(source.file(openvino_files.XML))
    manager = Manager()
    manager.register_pass(ConstantFolding())
    manager.run_passes(model)
    check_excluded(exclude, [node.get_friendly_name() for node in model.get_ops()])
    return model


def read_float(source: Artifact, config: NncfStaticSettings) -> Any:
    """Read the model of `source` to round activations. Raises BuildError when they are rounded already."""
    model = read_folded(source, config.exclude)
    if rounded := sum(node.get_type_name() == "FakeQuantize" for node in model.get_ops()):
        raise BuildError(
            f"the model is quantized already ({rounded} FakeQuantize): a second quantization would round "
            "rounded values; give the float model"
        )
    return model


class NncfStaticSettings(Excluding):
    """Settings of both static methods."""

    preset: Literal["performance", "mixed"] = Field(
        default="performance", description="activations: performance symmetric, mixed with a zero point"
    )
    transformer: bool = Field(default=False, description="NNCF's patterns and smoothing for transformers")
    reduce_range: ReducedWeights = "auto"
    calibration: NncfCalibration = NncfCalibration()


def save_reported(model: Any, source: Artifact, out: Path) -> dict[str, Any]:
    """Save `model`, made from that of `source`, into `out`; report what is in low precision."""
    openvino_files.save_model(model, out)
    return report(model, openvino_files.read_model(source.file(openvino_files.XML)))


def fixed_batch(model: Any, inputs: Sequence[TensorSpec]) -> int | None:
    """Return the only batch that an OpenVINO model takes, or None when any will do."""
    axes = {spec.name: spec.batch_axis for spec in inputs}
    batches = []
    for port in model.inputs:
        axis = next((axes[name] for name in port.get_names() if name in axes), 0)
        shape = port.get_partial_shape()
        if axis is not None and shape.rank.is_static and len(shape) > axis:
            batches.append(shape[axis])
    return next((size.get_length() for size in batches if size.is_static), None)


def arguments(config: NncfStaticSettings, data: Data) -> dict[str, Any]:
    """Return the arguments that nncf.quantize and quantize_with_accuracy_control share."""
    nncf = load_nncf()
    return {
        "preset": nncf.QuantizationPreset(config.preset),
        "target_device": nncf.TargetDevice.CPU,
        "subset_size": len(data),
        "model_type": nncf.ModelType.TRANSFORMER if config.transformer else None,
        "ignored_scope": nncf.IgnoredScope(names=list(config.exclude)),
    }


def advanced(calibration: NncfCalibration, size: int, *, reduced: bool, correct_biases: bool = True) -> Any:
    """Return NNCF's advanced parameters: 7-bit weights where `reduced`, ranges by batches of `size`."""
    import nncf
    from nncf.quantization.advanced_parameters import OverflowFix
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet as Ranges

    methods = {"mean-minmax": Ranges.MEAN_MINMAX, "minmax": Ranges.MINMAX, "histogram": Ranges.HISTOGRAM}
    return nncf.AdvancedQuantizationParameters(
        overflow_fix=OverflowFix.ENABLE if reduced else OverflowFix.DISABLE,
        batchwise_statistics=size > 1,
        disable_bias_correction=not correct_biases,
        activations_range_estimator_params=methods[calibration.method],
    )


class NncfStatic(NncfStaticSettings):
    """Activations and weights in int8; scales fixed at build time."""

    method: Literal["nncf-static"] = "nncf-static"
    bias_correction: Literal["none", "fast", "full"] = Field(
        default="fast", description="how the mean error of quantized layers is corrected in their biases"
    )


@transform(
    "quantize",
    NncfStatic,
    select=("method", "nncf-static"),
    summary="int8 weights and activations, calibrated on training data by NNCF (OpenVINO)",
    **STATIC,
)
def quantize_nncf(config: NncfStatic, source: Artifact, out: Path, context: BuildContext) -> dict[str, Any]:
    """Calibrate, quantize the graph, and report what was quantized."""
    nncf = load_nncf()
    reduce = is_reduced(config, context)
    model = read_float(source, config)
    fixed = fixed_batch(model, context.inputs)
    (data,) = draw_samples(context, calibration=config.calibration.samples)
    samples = cut(data, config.calibration.batch, fixed)
    with by_nncf(model):
        quantized = nncf.quantize(
            model,
            nncf.Dataset(samples),
            fast_bias_correction=config.bias_correction != "full",
            advanced_parameters=advanced(
                config.calibration,
                fixed or config.calibration.batch,
                reduced=reduce,
                correct_biases=config.bias_correction != "none",
            ),
            **arguments(config, data),
        )
    return {
        **save_reported(quantized, source, out),
        "reduced_range": reduce,
        "calibration_samples": used(data, fixed),
    }
