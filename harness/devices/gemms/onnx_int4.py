"""ONNX Runtime's product by 4-bit weights: MatMulNBits, activations rounded to 8 bits."""

from __future__ import annotations

import numpy as np

from harness.devices.gemms.registry import Product, gemm

_BLOCK, _BITS = 32, 4
_INT8 = 4  # accuracy_level at which activations are rounded to int8 for each product


@gemm("onnxruntime", "int4", "onnxruntime", "onnx", kernel="MatMulNBits", computes="int8")
def prepare(rows: int, side: int, threads: int) -> Product:
    """Multiply by weights in blocks of 32 that share a scale."""
    from harness.devices.onnx_product import one_operator

    random = np.random.default_rng(0)
    left = random.random((rows, side), dtype=np.float32)
    blocks = side // _BLOCK
    packed = random.integers(0, 256, (side, blocks, _BLOCK * _BITS // 8), dtype=np.uint8)
    scales = np.full(side * blocks, 0.01, np.float32)
    attributes = {"K": side, "N": side, "bits": _BITS, "block_size": _BLOCK, "accuracy_level": _INT8}
    return one_operator(
        "MatMulNBits",
        left,
        {"packed": packed, "scales": scales},
        threads,
        domain="com.microsoft",
        **attributes,
    )
