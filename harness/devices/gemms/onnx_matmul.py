"""ONNX Runtime's float32 product on the processor (its own library, MLAS)."""

from __future__ import annotations

import functools

import numpy as np

from harness.devices.gemms.registry import Product, gemm


@gemm("onnxruntime", "float32", "onnxruntime", "onnx")
def prepare(side: int, threads: int) -> Product:
    """Multiply by a graph of one MatMul, the right side as its weight, which is how models have it."""
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    left, right = (random.random((side, side), dtype=np.float32) for _ in range(2))
    names = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [side, side]) for name in ("left", "product")
    ]
    node = helper.make_node("MatMul", ["left", "right"], ["product"])
    weight = numpy_helper.from_array(right, "right")
    graph = helper.make_graph([node], "gemm", names[:1], names[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return functools.partial(session.run, None, {"left": left})
