"""A matrix product as a graph of one operator, run by ONNX Runtime: what several roofs are measured with."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from harness.devices.gemms.registry import Product

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
