"""OpenVINO's product by compressed 4-bit weights, activations rounded to 8 bits: its fastest mode."""

from __future__ import annotations

import numpy as np

from harness.devices.gemms.registry import Product, gemm

_GROUP = 64
_ROUNDED = 32  # activations that share an int8 scale: what OpenVINO would choose


@gemm("openvino", "int4", "openvino", kernel="MatMul", computes="int8")
def prepare(rows: int, side: int, threads: int) -> Product:
    """Multiply by weights in groups of 64 that share a scale."""
    import openvino
    from openvino import opset13 as ops

    from harness.devices.openvino_product import one_matmul

    random = np.random.default_rng(0)
    left = random.random((rows, side), dtype=np.float32)
    packed = random.integers(0, 256, side * side // 2, dtype=np.uint8)
    groups = [side, side // _GROUP, _GROUP]
    stored = ops.constant(openvino.Tensor(packed, groups, openvino.Type.i4))
    scales = ops.constant(np.full((side, side // _GROUP, 1), 0.01, np.float32))
    weights = ops.reshape(ops.multiply(ops.convert(stored, np.float32), scales), [side, side], False)
    parameter = ops.parameter([rows, side], np.float32)
    return one_matmul(parameter, weights, parameter, left, threads, DYNAMIC_QUANTIZATION_GROUP_SIZE=_ROUNDED)
