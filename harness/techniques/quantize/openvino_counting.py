"""What of an OpenVINO model really is in low precision: counted in the graph, in the words of counting.py."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import BuildError

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
_LOW_BITS = 8
_NAMES_SHOWN = 20


def report(model: openvino.Model, source: openvino.Model) -> dict[str, Any]:
    """Report what of `model`, made from `source`, computes or is stored in low precision.

    A product or convolution computes in integers when its data comes from a FakeQuantize and its weights are
    stored in integers, or both come from a FakeQuantize: what OpenVINO's low-precision transformations take.
    Shares are of the FLOPs of one item, and of the stored bytes of their weights and of look-up tables.
    Raises BuildError when nothing is in low precision.
    """
    counted = count(model)
    if not (counted["integer_operators"] or counted["low_precision_weight_share"]):
        raise BuildError(f"nothing was quantized: the model has {_only(counted['float_operators'])}")
    return {**counted, "overhead_operators": _overhead(model, source)}


def count(model: openvino.Model, compiled: openvino.CompiledModel | None = None) -> dict[str, Any]:
    """Count as `report` does. What `compiled`, the same model, runs in float is counted as float."""
    single = _one_item(model)
    floats = _run_in_float(compiled) if compiled is not None else set()
    kinds: dict[str, list[Any]] = {"integer": [], "weight-only": [], "float": []}
    for node in single.get_ordered_ops():
        if node.get_type_name() in _PRODUCTS:
            kinds[_kind(node, node.get_friendly_name() in floats)].append(node)
    low, total = _weight_bytes(single)
    flops = {kind: _sum(nodes) for kind, nodes in kinds.items()}
    return {
        "integer_operators": _types(kinds["integer"]),
        "weight_only_operators": _types(kinds["weight-only"]),
        "float_operators": _types(kinds["float"]),
        "float_operator_names": [_name(node) for node in kinds["float"][:_NAMES_SHOWN]],
        "low_precision_flops_share": _share(flops, "integer"),
        "weight_only_flops_share": _share(flops, "weight-only"),
        "low_precision_weight_share": low / total if total else 0.0,
        "qdq_pairs": sum(
            node.get_type_name() == "FakeQuantize" and not _is_constant(node.input_value(0).get_node())
            for node in single.get_ordered_ops()
        ),
    }


def _run_in_float(compiled: openvino.CompiledModel) -> set[str]:
    """Names of the original operators in layers whose data is in a type of float."""
    layers = [node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops()]
    found: set[str] = set()
    for layer in layers:
        if layer["runtimePrecision"].value in ("f32", "bf16", "f16"):
            found.update(layer["originalLayersNames"].value.split(","))
    return found


def _one_item(model: openvino.Model) -> openvino.Model:
    """Return a copy with batch 1, so that every shape is known where the graph allows it."""
    single = model.clone()
    try:
        single.reshape({port: [1, *list(port.partial_shape)[1:]] for port in single.inputs})
    except RuntimeError:  # a fixed batch, written into the graph
        return model
    return single


def _kind(node: Any, in_float: bool) -> str:
    data, weight = (node.input_value(i).get_node() for i in range(2))
    stored = _is_stored_low(weight)
    if not in_float and _is_quantized(data) and (stored or _is_quantized(weight)):
        return "integer"
    return "weight-only" if stored else "float"


def _source(node: Any) -> Any:
    """Return that from which `node` is dequantized, or `node` itself."""
    while node.get_type_name() in _DEQUANTIZES:
        node = node.input_value(0).get_node()
    return node


def _is_stored_low(node: Any) -> bool:
    """Whether a constant of integers is what `node` is dequantized from."""
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
    """Bytes of what products, convolutions and look-ups read: those in 8 bits or fewer, and all."""
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
    """Shapes are looked up in too, and are no weights."""
    kind = constant.get_element_type()
    return bool(kind.is_integral() and kind.bitwidth > _LOW_BITS)


def _sum(nodes: list[Any]) -> float | None:
    """FLOPs, 2 × multiply-accumulates, of products and convolutions; None where a shape is not known."""
    total = 0.0
    for node in nodes:
        shapes = [node.get_output_partial_shape(0), *(node.input_value(i).partial_shape for i in range(2))]
        if any(shape.is_dynamic for shape in shapes):
            return None
        out, data, weight = (tuple(shape.to_shape()) for shape in shapes)
        total += (
            2.0
            * float(np.prod(data if "Backprop" in node.get_type_name() else out))
            * _depth(node, data, weight)
        )
    return total


def _depth(node: Any, data: tuple[int, ...], weight: tuple[int, ...]) -> float:
    """Multiply-accumulates for each output element (for each input element of a transposed convolution)."""
    kind = node.get_type_name()
    if kind == "MatMul":
        return float(data[-2 if node.get_attributes()["transpose_a"] and len(data) > 1 else -1])
    # weights: (out, in, *kernel), with groups before it; transposed: (in, out, *kernel)
    return float(np.prod(weight[2 if kind.startswith("Group") else 1 :]))


def _share(flops: dict[str, float | None], kind: str) -> float | None:
    known = [value for value in flops.values() if value is not None]
    if len(known) < len(flops) or not sum(known):
        return None
    return (flops[kind] or 0.0) / sum(known)


def _overhead(model: openvino.Model, source: openvino.Model) -> dict[str, int]:
    added = _operators(model) - _operators(source)
    return {name: n for name, n in sorted(added.items()) if name not in (*_PRODUCTS, "Constant")}


def _operators(model: openvino.Model) -> Counter[str]:
    return Counter(node.get_type_name() for node in model.get_ops())


def _types(nodes: list[Any]) -> dict[str, int]:
    return dict(sorted(Counter(node.get_type_name() for node in nodes).items()))


def _name(node: Any) -> str:
    return f"{node.get_type_name()} {node.get_friendly_name()}"


def _only(types: dict[str, int]) -> str:
    return f"only {', '.join(types)} in float" if types else "no dense or convolution operator"
