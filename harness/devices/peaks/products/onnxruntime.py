"""ONNX Runtime's matrix products on the processor, one for each dtype; each is a graph of one operator."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.devices.peaks.registry import Product, floats, gemm

_OPSET, _IR = 17, 9
_BLOCK, _BITS = 32, 4
_INT8 = 4  # accuracy_level at which activations are rounded to int8 for each product


def one_operator(
    operator: str,
    left: NDArray[Any],
    threads: int,
    *weights: NDArray[Any],
    domain: str = "",
    **attributes: int,
) -> Product:
    """Return the call of `operator` on `left` and the initializers `weights`, in this order of inputs."""
    import onnxruntime as ort
    from onnx import helper, numpy_helper

    kind = helper.np_dtype_to_tensor_dtype(left.dtype)
    given = helper.make_tensor_value_info("left", kind, left.shape)
    made = helper.make_empty_tensor_value_info("product")  # its dtype follows from the operator
    tensors = [numpy_helper.from_array(array, f"weight_{index}") for index, array in enumerate(weights)]
    inputs = ["left", *(tensor.name for tensor in tensors)]
    node = helper.make_node(operator, inputs, ["product"], domain=domain, **attributes)
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
    """Multiply by one MatMul whose right side is a weight, as in models."""
    return one_operator("MatMul", floats(rows, side), threads, floats(side, side))


@gemm("onnxruntime", "int8", "onnxruntime", "onnx", kernel="MatMulInteger")
def int8_product(rows: int, side: int, threads: int) -> Product:
    """Multiply unsigned by signed: x86 has no fast product of two signed operands, Arm has both."""
    random = np.random.default_rng(0)
    left = random.integers(0, 256, (rows, side), dtype=np.uint8)
    right = random.integers(-127, 128, (side, side), dtype=np.int8)
    return one_operator("MatMulInteger", left, threads, right)


@gemm("onnxruntime", "int4", "onnxruntime", "onnx", kernel="MatMulNBits", computes="int8")
def int4_product(rows: int, side: int, threads: int) -> Product:
    """Multiply by weights in blocks of 32 that share a scale."""
    blocks = side // _BLOCK
    packed = np.random.default_rng(0).integers(0, 256, (side, blocks, _BLOCK * _BITS // 8), dtype=np.uint8)
    scales = np.full(side * blocks, 0.01, np.float32)
    attributes = {"K": side, "N": side, "bits": _BITS, "block_size": _BLOCK, "accuracy_level": _INT8}
    left = floats(rows, side)
    return one_operator("MatMulNBits", left, threads, packed, scales, domain="com.microsoft", **attributes)
