"""Calibration data: training samples drawn with the Suite's seed, checked, in batches."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from harness.errors import BuildError
from harness.formats.tensors import Array, check_arrays
from harness.techniques.registry import BuildContext, StepConfig
from harness.zoo.registry import Data


class CalibrationSamples(StepConfig):
    """How many training samples are drawn, with the Suite's seed."""

    samples: int = Field(
        default=512, ge=1, le=100_000, description="where the dataset has fewer: all, with a warning"
    )
    batch: int = Field(default=64, ge=1)


class Calibration(CalibrationSamples):
    """How many training samples are drawn, with the Suite's seed, and how ranges follow from them."""

    method: Literal["minmax", "entropy", "percentile"] = Field(
        default="minmax",
        description="all values seen; the range that loses least information; all but outliers",
    )
    percentile: float = Field(
        default=99.99,
        gt=50,
        le=100,
        description="method percentile keeps this share of the values; half of the rest is cut at each end",
    )

    @model_validator(mode="after")
    def _only_used_settings(self) -> Calibration:
        default = type(self).model_fields["percentile"].default
        if self.method != "percentile" and self.percentile != default:
            raise ValueError(f"percentile: for method percentile, not for {self.method}")
        return self


def draw_samples(context: BuildContext, **counts: int) -> list[Data]:
    """Draw this many training samples for each purpose, none of them twice, with their labels.

    If there are fewer, all are shared out in the same proportions, and the Record warns of it. Raises
    BuildError when a purpose would get no sample, or when samples do not fit the model.
    """
    data = context.training_data()
    wanted, purposes = sum(counts.values()), " and ".join(counts)
    taken = {name: min(count, len(data) * count // wanted) for name, count in counts.items()}
    asked, found = (" + ".join(map(str, numbers.values())) for numbers in (counts, taken))
    if not all(taken.values()):
        verb = "needs" if len(counts) == 1 else "need"
        raise BuildError(f"{purposes} {verb} {asked} samples; the training data has {len(data)}")
    if faults := check_arrays(data.inputs, context.inputs, "calibration data"):
        raise BuildError("; ".join(faults))
    if taken != counts:
        context.warn(f"{purposes}: {found} samples, not {asked}: the training data has {len(data)}")
    data = replace(data, axes=tuple(spec.batch_axis for spec in context.inputs))
    order = np.random.default_rng(context.seed).choice(len(data), sum(taken.values()), replace=False)
    parts = np.split(order, np.cumsum(list(taken.values()))[:-1])
    return [data.take(np.sort(part)) for part in parts]


def batches(config: Calibration, context: BuildContext, fixed: int | None = None) -> list[dict[str, Array]]:
    """Return the calibration samples in batches, by input name; `fixed` is the graph's batch.

    Raises BuildError when samples do not fit the model, or do not fill one batch.
    """
    (data,) = draw_samples(context, calibration=config.samples)
    names = [spec.name for spec in context.inputs]
    return [dict(zip(names, part, strict=True)) for part in cut(data, config.batch, fixed)]


def cut(data: Data, size: int, fixed: int | None = None) -> list[list[Array]]:
    """Cut samples into batches of `size`, the last perhaps smaller; each is a list of one array per input.

    With the graph's `fixed` batch, all batches have that size. Raises BuildError when the samples do not fill
    one.
    """
    count = len(data)
    if fixed is not None:
        size, count = fixed, count // fixed * fixed
        if not count:
            raise BuildError(f"{len(data)} samples do not fill a batch: the graph takes {fixed} at once")
    return [data.batch(i, min(i + size, count)) for i in range(0, count, size)]


def used(data: Data, fixed: int | None = None) -> int:
    """Return how many of the samples `cut` puts into batches."""
    return len(data) if fixed is None else len(data) // fixed * fixed
