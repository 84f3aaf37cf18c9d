"""ONNX Runtime's float32 product on the processor (its own library, MLAS)."""

from __future__ import annotations

import numpy as np

from harness.devices.gemms.registry import Product, gemm


@gemm("onnxruntime", "float32", "onnxruntime", "onnx", kernel="MatMul")
def prepare(rows: int, side: int, threads: int) -> Product:
    """Multiply by a graph of one MatMul, the right side as its weight, which is how models have it."""
    from harness.devices.onnx_product import one_operator

    random = np.random.default_rng(0)
    left, right = (random.random((n, side), dtype=np.float32) for n in (rows, side))
    return one_operator("MatMul", left, {"right": right}, threads)
