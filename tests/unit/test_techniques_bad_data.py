"""Training data that is missing, empty or does not fit: every step that looks at data says so in a line."""

from __future__ import annotations

import numpy as np
import pytest
import tiny

from harness.errors import BuildError
from harness.techniques.registry import TRANSFORMS
from harness.zoo.registry import Data

pytest.importorskip("torch")

CALIBRATION = {"samples": 32, "batch": 16}
SETTINGS = {
    "quantize/static": {"calibration": CALIBRATION},
    "quantize/mixed": {"calibration": CALIBRATION, "probe": 16},
    "quantize/pt2e-static": {"calibration": CALIBRATION},
    "quantize/qat/onnx": {"calibration": CALIBRATION},
    "quantize/qat/pt2e": {"calibration": CALIBRATION},
    "quantize/qat-weights": {},
    "quantize/nncf-static": {"calibration": CALIBRATION},
    "quantize/nncf-accuracy": {"calibration": CALIBRATION, "validation_samples": 16},
    "quantize/nncf-weights": {
        "dtype": "int4_sym",
        "awq": True,
        "group_size": 8,
        "all_layers": True,
        "calibration": CALIBRATION,
    },
}
LABELS = np.arange(64) % 4
GOOD = np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32)
CASES = {
    "missing": (None, "there is no training data"),
    "empty": (Data((GOOD[:0],), LABELS[:0]), r"the training data has 0$|'x' has no samples"),
    "shape": (Data((np.zeros((64, 9), np.float32),), LABELS), r"'x' has samples of shape \(9,\), not \(8,\)"),
    "type": (Data((GOOD.astype(np.float64),), LABELS), "'x' has dtype float64, not float32"),
    "nan": (
        Data((np.where(GOOD[3, 2] == GOOD, np.nan, GOOD).astype(np.float32),), LABELS),
        "NaN or infinity",
    ),
    "inputs": (Data((GOOD, GOOD), LABELS), r"2 arrays for 1 inputs \(x\)"),
}


def test_every_step_of_quantization_that_looks_at_data_is_here():
    seen = {entry.name for entry in TRANSFORMS.values() if entry.family == "quantize" and _looks(entry)}
    assert seen == set(SETTINGS)


def _looks(entry):
    settings = SETTINGS.get(entry.name, {})
    return entry.needs_training_data(entry.config.model_validate(settings))


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """One dense model in each format that a step takes."""
    folder, context = tmp_path_factory.mktemp("formats"), tiny.Context(tiny.VECTOR)
    module = tiny.source("dense", folder / "m")
    graph, _ = tiny.build("export-onnx", module, folder / "o", context)
    found = {"torch-module": module, "onnx": graph}
    if "openvino" in _installed():
        found["openvino-ir"], _ = tiny.build("convert-openvino", graph, folder / "v", context)
    return found


def _installed():
    from importlib.util import find_spec

    return {name for name in ("openvino", "nncf", "torchao") if find_spec(name)}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("step", SETTINGS)
def test_data_that_cannot_be_used_is_told(step, case, sources, tmp_path):
    entry = TRANSFORMS.get(step)
    if not {"nncf", "torchao"} & set(entry.packages) <= _installed():
        pytest.skip(f"{step} needs {entry.extra}")
    data, says = CASES[case]
    with pytest.raises(BuildError, match=says) as told:
        tiny.build(
            step, sources[entry.takes[0]], tmp_path / "q", tiny.Context(tiny.VECTOR, data), **SETTINGS[step]
        )
    assert "\n" not in str(told.value)
