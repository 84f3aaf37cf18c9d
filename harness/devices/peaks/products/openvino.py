"""OpenVINO's matrix products on the processor, by dtype: each a model of one MatMul."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.devices.peaks.registry import Product, gemm
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


@gemm("openvino", "int8", "openvino", kernel="MatMul")
def int8_product(rows: int, side: int, threads: int) -> Product:
    """Multiply float activations that are rounded to uint8 on the way, which is part of the time."""
    from openvino import opset13 as ops

    from harness.devices.peaks.products.openvino import one_matmul

    random = np.random.default_rng(0)
    left = random.random((rows, side), dtype=np.float32)
    right = random.integers(-127, 128, (side, side), dtype=np.int8)
    parameter = ops.parameter([rows, side], np.float32)
    low, high = np.float32(0), np.float32(1)
    data = ops.fake_quantize(parameter, low, high, low, high, 256)
    scales = np.full((side, 1), 0.01, np.float32)
    weights = ops.multiply(ops.convert(ops.constant(right), np.float32), ops.constant(scales))
    return one_matmul(data, weights, parameter, left, threads, kernel="I8")


_GROUP = 64
_ROUNDED = 32  # activations that share an int8 scale: what OpenVINO would choose
_SCALE = 0.01
_CHECKED = 64  # columns of the answer
_FLOAT_ERROR = (
    2e-5  # of the largest value: float32 sums err by about 1e-6, rounded activations by 1e-4 and more
)


@gemm("openvino", "int4", "openvino", kernel="MatMul", computes="int8")
def int4_product(rows: int, side: int, threads: int) -> Product:
    """Multiply by weights in groups of 64 that share a scale.

    Raises HarnessError where activations are not rounded, so that the product would be one of float32.
    """
    import openvino
    from openvino import opset13 as ops

    from harness.devices.peaks.products.openvino import one_matmul

    random = np.random.default_rng(0)
    left = random.random((rows, side), dtype=np.float32)
    packed = random.integers(0, 256, side * side // 2, dtype=np.uint8)
    groups = [side, side // _GROUP, _GROUP]
    # A constant reads a Tensor's own memory, which is gone after this, unless it is told to copy.
    stored = ops.constant(openvino.Tensor(packed, groups, openvino.Type.i4), shared_memory=False)
    scales = ops.constant(np.full((side, side // _GROUP, 1), _SCALE, np.float32))
    weights = ops.reshape(ops.multiply(ops.convert(stored, np.float32), scales), [side, side], False)
    parameter = ops.parameter([rows, side], np.float32)
    product = one_matmul(
        parameter, weights, parameter, left, threads, DYNAMIC_QUANTIZATION_GROUP_SIZE=_ROUNDED
    )
    if not is_rounded(np.asarray(product()), left, packed):
        raise HarnessError("OpenVINO does not round activations here: it multiplies in float32")
    return product


def is_rounded(answer: NDArray[Any], left: NDArray[np.float32], packed: NDArray[np.uint8]) -> bool:
    """Whether `answer` is further from the exact product than float32 is: kernels' names do not tell."""
    pairs = packed.reshape(-1, left.shape[1] // 2)[:_CHECKED]
    halves = np.stack([pairs & 15, pairs >> 4], axis=-1).reshape(len(pairs), -1).astype(np.float64)
    columns = np.where(halves > 7, halves - 16, halves) * _SCALE
    exact = (left[0].astype(np.float64) * columns).sum(axis=1)  # by `@` numpy's own threads would spin
    error = np.abs(answer[0, :_CHECKED] - exact).max() / np.abs(exact).max()
    return bool(error > _FLOAT_ERROR)
