"""A matrix product as a model of one MatMul, run by OpenVINO: what several roofs are measured with."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from harness.devices.gemms.registry import Product
from harness.errors import HarnessError


def one_matmul(
    data: Any,
    weights: Any,
    parameter: Any,
    left: NDArray[Any],
    threads: int,
    *,
    kernel: str = "",
    **hints: Any,
) -> Product:
    """Return the call that multiplies by the transposed `weights`; `data` is what is made of `parameter`.

    Raises HarnessError when OpenVINO runs no product, or takes a kernel whose name does not end in `kernel`.
    """
    import openvino
    from openvino import opset13 as ops

    model = openvino.Model([ops.matmul(data, weights, False, True)], [parameter])
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": "f32",
        **hints,
    }
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    layers = [node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops()]
    taken = [x["primitiveType"].value for x in layers if x["layerType"].value in ("FullyConnected", "MatMul")]
    if not taken or not all(name.lower().endswith(kernel.lower()) for name in taken):
        raise HarnessError(f"OpenVINO multiplies by {', '.join(taken) or 'no kernel that it tells of'} here")
    request = compiled.create_infer_request()
    tensor = openvino.Tensor(left, shared_memory=True)

    def product() -> object:
        request.set_input_tensor(0, tensor)  # a request keeps no hold of it: `product` does
        request.infer()
        return request.get_output_tensor(0).data

    return product
