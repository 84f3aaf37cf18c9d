"""How many samples a step that calibrates gets: as many as it asks for, else all that there are."""

from __future__ import annotations

import numpy as np
import pytest
import tiny

from harness.errors import BuildError
from harness.techniques.quantize.calibration import CalibrationSamples, draw_samples
from harness.zoo.registry import Data


def context(count: int) -> tiny.Context:
    """`count` samples; the first value of each is its number."""
    return tiny.Context(tiny.VECTOR, Data((np.arange(8 * count, dtype=np.float32).reshape(count, 8) / 8,)))


DEFAULT = CalibrationSamples().samples


@pytest.mark.parametrize(
    ("available", "asked", "found", "warnings"),
    [
        (600, {"calibration": DEFAULT}, [512], []),
        (512, {"calibration": DEFAULT}, [512], []),
        (64, {"calibration": DEFAULT}, [64], ["calibration: 64 samples, not 512: the training data has 64"]),
        (1, {"calibration": 2}, [1], ["calibration: 1 samples, not 2: the training data has 1"]),
        (
            64,
            {"calibration": DEFAULT, "validation": 1000},
            [21, 42],  # 64 × 512 / 1512 and 64 × 1000 / 1512
            ["calibration and validation: 21 + 42 samples, not 512 + 1000: the training data has 64"],
        ),
    ],
)
def test_fewer_samples_than_asked_for_are_all_used_and_the_record_warns(available, asked, found, warnings):
    about = context(available)
    drawn = draw_samples(about, **asked)
    assert [len(data) for data in drawn] == found
    numbers = np.concatenate([data.inputs[0][:, 0] for data in drawn])
    assert len(set(numbers)) == sum(found)  # none twice
    assert about.warnings == warnings


def test_a_purpose_without_any_sample_is_an_error():
    with pytest.raises(BuildError, match=r"and validation need 1 \+ 100 samples; the training data has 8"):
        draw_samples(context(8), calibration=1, validation=100)
