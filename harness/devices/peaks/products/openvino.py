"""OpenVINO's matrix products on the processor, one for each dtype; each is a model of one MatMul."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.devices.peaks.registry import Product, floats, gemm
from harness.errors import HarnessError

_GROUP = 64
_ROUNDED = 32  # activations that share an int8 scale, as OpenVINO chooses by default
_SCALE = 0.01
_CHECKED = 64  # columns of the output that are compared with the exact product
_FLOAT_ERROR = 2e-5
"""Of the largest value: float32 sums have errors of about 1e-6, rounded activations of 1e-4 or more."""


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
    """Return the call that multiplies by the transposed `weights`; `data` is computed from `parameter`.

    Raises HarnessError when OpenVINO runs no product, or uses a kernel whose name does not end in `kernel`.
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
        raise HarnessError(f"OpenVINO multiplies with {', '.join(taken) or 'no kernel that it reports'} here")
    request = compiled.create_infer_request()
    tensor = openvino.Tensor(left, shared_memory=True)

    def product() -> object:
        request.set_input_tensor(0, tensor)  # the closure keeps the array alive; a request does not
        request.infer()
        return request.get_output_tensor(0).data

    return product


@gemm("openvino", "int8", "openvino", kernel="MatMul")
def int8_product(rows: int, side: int, threads: int) -> Product:
    """Multiply float activations that are rounded to uint8 first; rounding is part of the time."""
    from openvino import opset13 as ops

    right = np.random.default_rng(0).integers(-127, 128, (side, side), dtype=np.int8)
    parameter = ops.parameter([rows, side], np.float32)
    low, high = np.float32(0), np.float32(1)
    data = ops.fake_quantize(parameter, low, high, low, high, 256)
    scales = np.full((side, 1), 0.01, np.float32)
    weights = ops.multiply(ops.convert(ops.constant(right), np.float32), ops.constant(scales))
    return one_matmul(data, weights, parameter, floats(rows, side), threads, kernel="I8")


@gemm("openvino", "int4", "openvino", kernel="MatMul", computes="int8")
def int4_product(rows: int, side: int, threads: int) -> Product:
    """Multiply by weights in groups of 64 that share a scale.

    Raises HarnessError where activations are not rounded, since then the product is computed in float32.
    """
    import openvino
    from openvino import opset13 as ops

    left = floats(rows, side)
    packed = np.random.default_rng(0).integers(0, 256, side * side // 2, dtype=np.uint8)
    groups = [side, side // _GROUP, _GROUP]
    # Copy: without it the constant shares memory of the Tensor, which does not outlive this function.
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


def is_rounded(output: NDArray[Any], left: NDArray[np.float32], packed: NDArray[np.uint8]) -> bool:
    """Whether the error of `output` exceeds that of float32; the names of kernels do not tell."""
    pairs = packed.reshape(-1, left.shape[1] // 2)[:_CHECKED]
    halves = np.stack([pairs & 15, pairs >> 4], axis=-1).reshape(len(pairs), -1).astype(np.float64)
    columns = np.where(halves > 7, halves - 16, halves) * _SCALE
    exact = (left[0].astype(np.float64) * columns).sum(axis=1)  # `@` would make numpy's own threads spin
    error = np.abs(output[0, :_CHECKED] - exact).max() / np.abs(exact).max()
    return bool(error > _FLOAT_ERROR)
