"""OpenVINO's product of 8-bit integers: quantized activations and weights."""

from __future__ import annotations

import numpy as np

from harness.devices.gemms.registry import Product, gemm


@gemm("openvino", "int8", "openvino", kernel="MatMul")
def prepare(rows: int, side: int, threads: int) -> Product:
    """Multiply float activations that are rounded to uint8 on the way, which is part of the time."""
    from openvino import opset13 as ops

    from harness.devices.openvino_product import one_matmul

    random = np.random.default_rng(0)
    left = random.random((rows, side), dtype=np.float32)
    right = random.integers(-127, 128, (side, side), dtype=np.int8)
    parameter = ops.parameter([rows, side], np.float32)
    low, high = np.float32(0), np.float32(1)
    data = ops.fake_quantize(parameter, low, high, low, high, 256)
    scales = np.full((side, 1), 0.01, np.float32)
    weights = ops.multiply(ops.convert(ops.constant(right), np.float32), ops.constant(scales))
    return one_matmul(data, weights, parameter, left, threads, kernel="I8")
