"""NNCF as the steps use it: loaded without its usage reports, told in which range and batches to work."""

from __future__ import annotations

import logging
import os
from typing import Any, Literal

from pydantic import Field

from harness.artifacts.tensors import Array
from harness.techniques.quantize.calibration import Calibration, calibration_items
from harness.techniques.registry import BuildContext, StepConfig
from harness.zoo.registry import Data


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


def drawn(calibration: NncfCalibration, context: BuildContext) -> Data:
    """Draw the calibration items. Raises BuildError when there are too few or they do not fit the model."""
    return calibration_items(Calibration(samples=calibration.samples), context)


def batches(data: Data, size: int) -> list[list[Array]]:
    """Cut items into batches of `size`, the last perhaps smaller; an array for each input."""
    return [[array[i : i + size] for array in data.inputs] for i in range(0, len(data), size)]


def quantization_settings(
    reduced_range: bool, calibration: NncfCalibration, *, correct_biases: bool = True
) -> Any:
    """NNCF's advanced parameters: 7-bit weights where asked, ranges by item and not by batch."""
    import nncf
    from nncf.quantization.advanced_parameters import OverflowFix
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet as Ranges

    methods = {"mean-minmax": Ranges.MEAN_MINMAX, "minmax": Ranges.MINMAX, "histogram": Ranges.HISTOGRAM}
    return nncf.AdvancedQuantizationParameters(
        overflow_fix=OverflowFix.ENABLE if reduced_range else OverflowFix.DISABLE,
        batchwise_statistics=calibration.batch > 1,
        disable_bias_correction=not correct_biases,
        activations_range_estimator_params=methods[calibration.method],
    )
