"""NNCF as the steps use it: loaded without its usage reports, told in which range to work."""

from __future__ import annotations

import logging
import os
from typing import Any, Literal

from pydantic import Field

from harness.formats import openvino as openvino_files
from harness.techniques.quantize.ranges import resolve_range
from harness.techniques.registry import StepConfig
from harness.zoo.registry import Data

STATIC: dict[str, Any] = {
    "takes": (openvino_files.IR_FORMAT,),
    "yields": openvino_files.IR_FORMAT,
    "packages": ("nncf", "openvino"),
    "extra": "openvino",
    "devices": ("cpu",),
    "resolve": resolve_range,
    "keeps": ("parameters", "nonzero_parameters", "flops_per_sample"),
    "needs_training_data": lambda _config: True,
}
"""What both static steps are registered with."""


class NncfCalibration(StepConfig):
    """How many training items, drawn with the Suite's seed, and how ranges come from them."""

    samples: int = Field(default=512, ge=1, le=100_000)
    batch: int = Field(default=64, ge=1)
    method: Literal["mean-minmax", "minmax", "histogram"] = Field(
        default="mean-minmax",
        description="mean-minmax: the mean over items of each item's smallest and largest",
    )


def load_nncf() -> Any:
    """Import NNCF with its reports over the network off, and its hints out of the Cell's log."""
    os.environ.setdefault("NNCF_CI", "1")  # read while it is imported
    import nncf

    nncf.set_log_level(logging.ERROR)
    return nncf


class NncfStaticSettings(StepConfig):
    """What both static methods are told."""

    preset: Literal["performance", "mixed"] = Field(
        default="performance", description="activations: performance symmetric, mixed with a zero point"
    )
    transformer: bool = Field(default=False, description="NNCF's patterns and smoothing for transformers")
    reduce_range: bool | Literal["auto"] = Field(
        default="auto", description="7-bit weights; auto: where the CPU's 16-bit sums could saturate"
    )
    calibration: NncfCalibration = NncfCalibration()


def fixed_batch(model: Any) -> int | None:
    """The only batch that an OpenVINO model takes, or None when any will do."""
    shapes = [value.get_partial_shape() for value in model.inputs]
    sizes = [shape[0] for shape in shapes if shape.rank.is_static and len(shape)]
    return next((size.get_length() for size in sizes if size.is_static), None)


def arguments(config: NncfStaticSettings, data: Data) -> dict[str, Any]:
    """What nncf.quantize and its accuracy-aware brother are told alike."""
    nncf = load_nncf()
    return {
        "preset": nncf.QuantizationPreset(config.preset),
        "target_device": nncf.TargetDevice.CPU,
        "subset_size": len(data),
        "model_type": nncf.ModelType.TRANSFORMER if config.transformer else None,
    }


def advanced(calibration: NncfCalibration, size: int, *, reduced: bool, correct_biases: bool = True) -> Any:
    """NNCF's advanced parameters: 7-bit weights where `reduced`, ranges by item in batches of `size`."""
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
