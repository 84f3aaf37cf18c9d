"""Low precision in an OpenVINO model, counted in its graph and in what the compiled model runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.formats.low_precision.shares import FLOAT, Product, counted, in_words, tally, unchanged

if TYPE_CHECKING:
    import openvino

_CONVOLUTIONS = ("Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData")
_PRODUCTS = (*_CONVOLUTIONS, "MatMul")
_DEQUANTIZES = ("Multiply", "Subtract", "Convert", "Reshape", "Transpose", "Unsqueeze", "Squeeze")
_PASSED_BY = (
    "Reshape",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "MaxPool",
    "Concat",
    "Pad",
    "Slice",
    "StridedSlice",
)
_UNCOUNTED = (
    *("Einsum", "GRUCell", "GRUSequence", "LSTMCell", "LSTMSequence", "Loop", "RNNCell", "RNNSequence"),
    *("ScaledDotProductAttention", "TensorIterator"),
)
_PRODUCT_LAYERS = ("Convolution", "Deconvolution", "FullyConnected", "MatMul")
_ADDED_LAYERS = ("Convert", "FakeQuantize")
_TYPES = {
    "i8": "int8",
    "u8": "int8",
    "f32": FLOAT,
    "fp32": FLOAT,
    "bf16": "bfloat16",
    "f16": "float16",
    "fp16": "float16",
}
_SCALED = "/DequantizationMultiply"
"""Suffix that OpenVINO gives a product of integers that includes its scale."""
_LOW_BITS = 8


def report(model: openvino.Model, source: openvino.Model) -> dict[str, Any]:
    """Report which parts of `model`, made from `source`, compute or are stored in low precision.

    A product or convolution computes in integers when its data comes from a FakeQuantize and its weights are
    stored in integers, or both come from a FakeQuantize: OpenVINO's low-precision transformations take these.
    Shares are of the FLOPs of one sample, and of the stored bytes of weights and look-up tables. Raises
    BuildError when nothing is in low precision.
    """
    found = count(model)
    if not (found["integer_operators"] or found["low_precision_weight_share"]):
        raise unchanged("model", found["float_operators"])
    return {**found, "overhead_operators": _overhead(model, source)}


def report_compiled(model: openvino.Model, compiled: openvino.CompiledModel) -> dict[str, Any]:
    """Report as `report` does, but by what `compiled`, the same model compiled, really runs."""
    layers = [_Layer(node) for node in compiled.get_runtime_model().get_ordered_ops()]
    # Layers before and after a product may have its name as well.
    runs = {name: layer for layer in layers if layer.kind in _PRODUCT_LAYERS for name in layer.names}
    found = count(model, {name.removesuffix(_SCALED): layer.computes for name, layer in runs.items()})
    kernels = sorted({layer.kernel for layer in layers if layer.kind in _PRODUCT_LAYERS})
    roundings = {n.get_friendly_name() for n in model.get_ops() if n.get_type_name() == "FakeQuantize"}
    return {
        **found,
        "compute_dtype": f"{in_words(found['flops_by_type'])} ({', '.join(kernels)})",
        "overhead_operators": counted(kind for layer in layers if (kind := layer.added(roundings))),
    }


def count(model: openvino.Model, computes: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Count as `report` does; `computes` gives the compute dtype by operator name where it is known."""
    single = _one_sample(model)
    operators = single.get_ordered_ops()
    products = [_product(node, computes or {}) for node in operators if node.get_type_name() in _PRODUCTS]
    hidden = [n for n in operators if n.get_type_name() in _UNCOUNTED]  # products that are not counted
    uncounted = [Product(n.get_type_name(), n.get_friendly_name(), None) for n in hidden]
    found = tally([*products, *uncounted], *_weight_bytes(single))
    return {
        **found,
        "compute_dtype": in_words(found["flops_by_type"]),
        "qdq_pairs": sum(
            node.get_type_name() == "FakeQuantize" and not _is_constant(node.input_value(0).get_node())
            for node in operators
        ),
    }


class _Layer:
    """One layer of a compiled model, as the runtime describes it."""

    def __init__(self, node: Any) -> None:
        info = node.get_rt_info()
        sources = [node.input_value(i).get_node().get_rt_info() for i in range(node.get_input_size())]
        self.reads_input = [str(source["layerType"].value) for source in sources] == ["Input"]
        self.makes = str(info["outputPrecisions"].value)
        self.kind = str(info["layerType"].value)
        self.kernel = str(info["primitiveType"].value)
        self.names = str(info["originalLayersNames"].value).split(",")
        # The kernel's name ends in its dtype. The layer's own precision is that of its data or weights, and a
        # kernel for compressed weights widens these.
        kind = self.kernel.rpartition("_")[2].lower()
        self.computes = _TYPES.get(kind) or _TYPES.get(str(info["runtimePrecision"].value), FLOAT)

    def added(self, roundings: Collection[str]) -> str | None:
        """Return the kind of an operator that the float model does not have; None where it has it, too.

        A layer of any kind may do the `roundings` of the graph (FakeQuantize), alone or with others. A float
        model converts its inputs as well (int64 tokens), but not to 8 bits.
        """
        if self.kind not in _ADDED_LAYERS and set(self.names) <= set(roundings):
            return "FakeQuantize"
        usual = self.kind == "Convert" and self.reads_input and _TYPES.get(self.makes) != "int8"
        return self.kind if self.kind in _ADDED_LAYERS and not usual else None


def _one_sample(model: openvino.Model) -> openvino.Model:
    """Return a copy with batch 1, so that shapes are known where the graph allows it."""
    single = model.clone()
    try:
        single.reshape({port: [1, *list(port.partial_shape)[1:]] for port in single.inputs})
    except RuntimeError:  # the graph has a fixed batch
        return model
    return single


def _product(node: Any, computes: Mapping[str, str]) -> Product:
    data, weight = (node.input_value(i).get_node() for i in range(2))
    stored, name = _is_stored_low(weight), str(node.get_friendly_name())
    intended = "int8" if _is_quantized(data) and (stored or _is_quantized(weight)) else FLOAT
    return Product(node.get_type_name(), name, _flops(node), computes.get(name, intended), stored)


def _source(node: Any) -> Any:
    """Return the node from which `node` is dequantized, or `node` itself."""
    while node.get_type_name() in _DEQUANTIZES:
        node = node.input_value(0).get_node()
    return node


def _is_stored_low(node: Any) -> bool:
    """Whether `node` is dequantized from a constant of integers."""
    source = _source(node)
    kind = source.get_element_type()
    return bool(_is_constant(source) and kind.is_integral() and kind.bitwidth <= _LOW_BITS)


def _is_quantized(node: Any) -> bool:
    while node.get_type_name() in _PASSED_BY:
        node = node.input_value(0).get_node()
    return bool(node.get_type_name() == "FakeQuantize")


def _is_constant(node: Any) -> bool:
    return bool(node.get_type_name() == "Constant")


def _bits(node: Any) -> int:
    return int(node.get_element_type().bitwidth)


def _weight_bytes(model: openvino.Model) -> tuple[int, int]:
    """Return the bytes of weights and look-up tables: those in 8 bits or fewer, and all."""
    weights = {}
    for node in model.get_ordered_ops():
        place = {"Gather": 0}.get(node.get_type_name(), 1 if node.get_type_name() in _PRODUCTS else None)
        if place is not None:
            constant = _source(node.input_value(place).get_node())
            if _is_constant(constant) and not _is_index(constant):
                weights[constant.get_name()] = constant
    sizes = [(_bits(c), (int(np.prod(c.shape)) * _bits(c) + 7) // 8) for c in weights.values()]
    return sum(size for bits, size in sizes if bits <= _LOW_BITS), sum(size for _, size in sizes)


def _is_index(constant: Any) -> bool:
    """Whether a constant holds indices: graphs look up in shapes, too, which are no weights."""
    kind = constant.get_element_type()
    return bool(kind.is_integral() and kind.bitwidth > _LOW_BITS)


def _flops(node: Any) -> float | None:
    """Return the FLOPs of a product or convolution; None where a shape is not known."""
    shapes = [node.get_output_partial_shape(0), *(node.input_value(i).partial_shape for i in range(2))]
    if any(shape.is_dynamic for shape in shapes):
        return None
    out, data, weight = (tuple(shape.to_shape()) for shape in shapes)
    places = data if "Backprop" in node.get_type_name() else out
    return 2.0 * float(np.prod(places)) * _depth(node, data, weight)


def _depth(node: Any, data: tuple[int, ...], weight: tuple[int, ...]) -> float:
    """Return multiply-accumulates per output element (per input element of a transposed convolution)."""
    kind = node.get_type_name()
    if kind == "MatMul":
        return float(data[-2 if node.get_attributes()["transpose_a"] and len(data) > 1 else -1])
    # weights: (out, in, *kernel), with groups before it; transposed: (in, out, *kernel)
    return float(np.prod(weight[2 if kind.startswith("Group") else 1 :]))


def _overhead(model: openvino.Model, source: openvino.Model) -> dict[str, int]:
    after, before = (Counter(node.get_type_name() for node in one.get_ops()) for one in (model, source))
    return {name: n for name, n in sorted((after - before).items()) if name not in (*_PRODUCTS, "Constant")}
