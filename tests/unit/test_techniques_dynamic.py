"""Dynamic int8 in every type of weights, held against numpy on a dense layer."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tiny
from layers import context, run, samples, write

pytest.importorskip("onnxruntime")
from onnx import helper

DEPTH, OUT = 16, 5
RNG = np.random.default_rng(4)
W = (RNG.standard_normal((DEPTH, OUT)) * [0.1, 1, 3, 0.5, 2] + 0.3).astype(np.float32)
W[1::2] *= (
    1e-3  # of the two products that a processor without VNNI adds in 16 bits, one is small: no overflow
)


def weights(w, dtype, per_channel, reduced):
    """Integers less their zero point, and the scale: int8 symmetric, uint8 over its whole range."""
    axis = 0 if per_channel else None
    if dtype == "int8":
        scale = np.abs(w).max(axis=axis) / (64 if reduced else 127)
        return np.rint(w / scale), scale
    low, high = np.minimum(w.min(axis=axis), 0), np.maximum(w.max(axis=axis), 0)
    most = 127 if reduced else 255
    scale = (high - low) / most
    zero = np.rint(-low / scale)
    return np.clip(np.rint(w / scale) + zero, 0, most) - zero, scale


def activations(x):
    """uint8 over the batch's own range, zero among it."""
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    scale = (high - low) / 255
    zero = np.rint(-low / scale)
    return np.clip(np.rint(x / scale) + zero, 0, 255) - zero, scale


@pytest.mark.parametrize(
    ("dtype", "per_channel", "reduced"),
    list(itertools.product(["int8", "uint8"], [True, False], [True, False])),
)
def test_each_type_of_weights_computes_what_numpy_computes(dtype, per_channel, reduced, tmp_path):
    source = write(tmp_path / "f", [helper.make_node("MatMul", ["x", "w"], ["y"])], [DEPTH], [OUT], {"w": W})
    made, about = tiny.build(
        "quantize/dynamic", source, tmp_path / "q", context((DEPTH,), None),
        dtype=dtype, per_channel=per_channel, reduce_range=reduced,
    )  # fmt: skip
    assert about["reduced_range"] is reduced
    assert about["low_precision_flops_share"] == 1.0
    integers, scale = weights(W, dtype, per_channel, reduced)
    for seed in range(3):
        x = samples((DEPTH,), 6, seed) * (1 + seed)
        rows, step = activations(x)
        expected, exact = (rows @ integers) * (step * scale), x @ W
        found = run(made, x)
        assert np.abs(found - expected).max() < 0.1 * np.abs(exact - expected).max(), "nearer to the oracle"
