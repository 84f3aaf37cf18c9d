"""ONNX Runtime's product of 8-bit integers that sums into 32 bits (MLAS)."""

from __future__ import annotations

import numpy as np

from harness.devices.gemms.registry import Product, gemm


@gemm("onnxruntime", "int8", "onnxruntime", "onnx", kernel="MatMulInteger")
def prepare(rows: int, side: int, threads: int) -> Product:
    """Multiply unsigned by signed: x86 has no fast product of two signed ones, Arm takes either."""
    from harness.devices.onnx_product import one_operator

    random = np.random.default_rng(0)
    left = random.integers(0, 256, (rows, side), dtype=np.uint8)
    right = random.integers(-127, 128, (side, side), dtype=np.int8)
    return one_operator("MatMulInteger", left, {"right": right}, threads)
