"""ONNX Runtime's matrix products on the processor, by dtype: each a graph of one operator."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.devices.peaks.registry import Product, gemm

_OPSET, _IR = 17, 9


def one_operator(
    operator: str,
    left: NDArray[Any],
    weights: Mapping[str, NDArray[Any]],
    threads: int,
    *,
    domain: str = "",
    **attributes: int,
) -> Product:
    """Return the call of `operator` on `left` and its initializers `weights`, in this order of inputs."""
    import onnxruntime as ort
    from onnx import helper, numpy_helper

    kind = helper.np_dtype_to_tensor_dtype(left.dtype)
    given = helper.make_tensor_value_info("left", kind, left.shape)
    made = helper.make_empty_tensor_value_info("product")  # its type follows from the operator
    node = helper.make_node(operator, ["left", *weights], ["product"], domain=domain, **attributes)
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph([node], "gemm", [given], [made], tensors)
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR)
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return functools.partial(session.run, None, {"left": left})


@gemm("onnxruntime", "float32", "onnxruntime", "onnx", kernel="MatMul")
def float32_product(rows: int, side: int, threads: int) -> Product:
    """Multiply by a graph of one MatMul, the right side as its weight, which is how models have it."""
    from harness.devices.peaks.products.onnxruntime import one_operator

    random = np.random.default_rng(0)
    left, right = (random.random((n, side), dtype=np.float32) for n in (rows, side))
    return one_operator("MatMul", left, {"right": right}, threads)


@gemm("onnxruntime", "int8", "onnxruntime", "onnx", kernel="MatMulInteger")
def int8_product(rows: int, side: int, threads: int) -> Product:
    """Multiply unsigned by signed: x86 has no fast product of two signed ones, Arm takes either."""
    from harness.devices.peaks.products.onnxruntime import one_operator

    random = np.random.default_rng(0)
    left = random.integers(0, 256, (rows, side), dtype=np.uint8)
    right = random.integers(-127, 128, (side, side), dtype=np.int8)
    return one_operator("MatMulInteger", left, {"right": right}, threads)


_BLOCK, _BITS = 32, 4
_INT8 = 4  # accuracy_level at which activations are rounded to int8 for each product


@gemm("onnxruntime", "int4", "onnxruntime", "onnx", kernel="MatMulNBits", computes="int8")
def int4_product(rows: int, side: int, threads: int) -> Product:
    """Multiply by weights in blocks of 32 that share a scale."""
    from harness.devices.peaks.products.onnxruntime import one_operator

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
