"""ONNX graphs in the forms that exporters write, one small maker each, with the sizes of their weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from harness.formats.tensors import TensorSpec

NODE, VALUE = helper.make_node, helper.make_tensor_value_info
FLOAT = TensorProto.FLOAT
MS = "com.microsoft"
VECTOR = (TensorSpec(name="x", shape=(32,)),)
IMAGE = (TensorSpec(name="x", shape=(8, 6, 6)),)
TOKENS = (TensorSpec(name="x", shape=(6,), dtype="int64", high=40),)
SERIES = (TensorSpec(name="x", shape=(6, 32)),)


@dataclass
class Structure:
    """A graph; `elements` are the weights with two dimensions or more, counted by the kind of their layer."""

    model: onnx.ModelProto
    inputs: tuple[TensorSpec, ...]
    elements: dict[str, int] = field(default_factory=dict)


STRUCTURES: dict[str, Callable[[], Structure]] = {}


def structure(make: Callable[[], Structure]) -> Callable[[], Structure]:
    """Register a maker under its own name."""
    STRUCTURES[make.__name__] = make
    return make


def weight(name: str, *shape: int, kind: type = np.float32) -> onnx.TensorProto:
    """A seeded weight: its values depend on its name and shape."""
    rng = np.random.default_rng([len(name), *map(ord, name), *shape])
    return numpy_helper.from_array((rng.standard_normal(shape) * 0.3).astype(kind), name)


def array(name: str, value: object, kind: type = np.int64) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(value, kind), name)


def made(nodes, weights=(), inputs=VECTOR, out=(8,), opset=17, ir=10, **parts) -> onnx.ModelProto:
    """A model x → y, batches free; `parts` are further arguments of make_graph."""
    kinds = {"float32": FLOAT, "int64": TensorProto.INT64}
    given = [VALUE(spec.name, kinds[spec.dtype], ["batch", *spec.shape]) for spec in inputs]
    result = [VALUE("y", FLOAT, ["batch", *out])]
    graph = helper.make_graph(nodes, "net", [*given, *parts.pop("more_inputs", ())], result, weights, **parts)
    domains = {node.domain for node in nodes} - {""}
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir)


def constant(tensor: onnx.TensorProto) -> onnx.NodeProto:
    return NODE("Constant", [], [tensor.name], value=tensor)


def pooled() -> list[onnx.NodeProto]:
    """From the feature map `c` to the vector `v`."""
    return [NODE("GlobalAveragePool", ["c"], ["p"]), NODE("Flatten", ["p"], ["v"])]


# ------------------------------------------------------------------ where weights are


@structure
def constant_nodes() -> Structure:
    weights = [weight("k", 16, 8, 3, 3), weight("w", 16, 8)]
    nodes = [
        *map(constant, weights),
        NODE("Conv", ["x", "k"], ["c"]),
        *pooled(),
        NODE("MatMul", ["v", "w"], ["y"]),
    ]
    return Structure(made(nodes, inputs=IMAGE), IMAGE, {"conv": 16 * 8 * 9, "dense": 16 * 8})


@structure
def identities() -> Structure:
    """One weight that two layers read, each through its Identity, one of them through two."""
    nodes = [
        NODE("Identity", ["w"], ["w1"]),
        NODE("Identity", ["w"], ["w2"]),
        NODE("Identity", ["w2"], ["w3"]),
        NODE("MatMul", ["x", "w1"], ["a"]),
        NODE("Relu", ["a"], ["b"]),
        NODE("MatMul", ["b", "w3"], ["y"]),
    ]
    return Structure(made(nodes, [weight("w", 32, 32)], out=(32,)), VECTOR, {"dense": 32 * 32})


@structure
def stored_in_half() -> Structure:
    nodes = [NODE("Cast", ["h"], ["w"], to=FLOAT), NODE("MatMul", ["x", "w"], ["y"])]
    return Structure(made(nodes, [weight("h", 32, 8, kind=np.float16)]), VECTOR, {"dense": 32 * 8})


@structure
def transposed() -> Structure:
    nodes = [NODE("Transpose", ["t"], ["w"], perm=[1, 0]), NODE("MatMul", ["x", "w"], ["y"])]
    return Structure(made(nodes, [weight("t", 8, 32)]), VECTOR, {"dense": 32 * 8})


@structure
def stored_in_integers() -> Structure:
    """Weights in int8, computation in float."""
    rows = np.random.default_rng(3).integers(-127, 128, (32, 8))
    weights = [array("q", rows, np.int8), array("s", np.full(8, 0.01), np.float32)]
    nodes = [NODE("DequantizeLinear", ["q", "s"], ["w"], axis=1), NODE("MatMul", ["x", "w"], ["y"])]
    return Structure(made(nodes, weights), VECTOR, {"dense": 32 * 8})


@structure
def sparse() -> Structure:
    values = numpy_helper.from_array(np.linspace(-1, 1, 40, dtype=np.float32), "w")
    places = numpy_helper.from_array(np.arange(40, dtype=np.int64) * 6)
    tensor = helper.make_sparse_tensor(values, places, [32, 8])
    model = made([NODE("MatMul", ["x", "w"], ["y"])], sparse_initializer=[tensor])
    return Structure(model, VECTOR, {"dense": 32 * 8})


@structure
def listed_inputs() -> Structure:
    weights = [weight("w", 32, 8), weight("b", 8)]
    listed = [VALUE(t.name, t.data_type, t.dims) for t in weights]
    model = made([NODE("Gemm", ["x", "w", "b"], ["y"])], weights, ir=3, more_inputs=listed)
    return Structure(model, VECTOR, {"dense": 32 * 8})


# ------------------------------------------------------------------ how nodes are written


@structure
def unsorted() -> Structure:
    """Nodes in reverse order without names, in a graph without one, of a domain that is not imported."""
    nodes = [
        NODE("MatMul", ["b", "w2"], ["y"]),
        NODE("Gelu", ["a"], ["b"], domain=MS),
        NODE("MatMul", ["x", "w1"], ["a"]),
    ]
    model = made(nodes, [weight("w1", 32, 16), weight("w2", 16, 8)])
    del model.opset_import[1:]
    model.graph.name = ""
    return Structure(model, VECTOR, {"dense": 32 * 16 + 16 * 8})


@structure
def functions() -> Structure:
    """A layer as a local function, called twice."""
    opsets = [helper.make_opsetid("", 17)]
    inner = [NODE("MatMul", ["a", "w"], ["p"]), NODE("Relu", ["p"], ["r"])]
    layer = helper.make_function("local", "Layer", ["a", "w"], ["r"], inner, opsets)
    nodes = [
        NODE("Layer", ["x", "w1"], ["a"], domain="local"),
        NODE("Layer", ["a", "w2"], ["b"], domain="local"),
        NODE("MatMul", ["b", "w3"], ["y"]),
    ]
    model = made(nodes, [weight("w1", 32, 32), weight("w2", 32, 16), weight("w3", 16, 8)])
    model.functions.append(layer)
    return Structure(model, VECTOR, {"dense": 32 * 32 + 32 * 16 + 16 * 8})


@structure
def newest_opset() -> Structure:
    nodes = [
        NODE("Gemm", ["x", "w", "b"], ["a"]),
        NODE("Gelu", ["a"], ["h"]),
        NODE("MatMul", ["h", "v"], ["y"]),
    ]
    model = made(nodes, [weight("w", 32, 16), weight("b", 16), weight("v", 16, 8)], opset=23, ir=11)
    return Structure(model, VECTOR, {"dense": 32 * 16 + 16 * 8})


# ------------------------------------------------------------------ graphs inside nodes


def _inner(nodes, name, inputs, outputs) -> onnx.GraphProto:
    return helper.make_graph(nodes, name, inputs, outputs)


@structure
def branches() -> Structure:
    """Branches that read weights of the outer graph, one of them behind an Identity."""
    sides = {
        f"{side}_branch": _inner(
            [NODE("MatMul", ["h", w], [f"{side}_y"])], side, [], [VALUE(f"{side}_y", FLOAT, ["batch", 8])]
        )
        for side, w in (("then", "same"), ("else", "w2"))
    }
    nodes = [
        NODE("Identity", ["w1"], ["same"]),
        NODE("MatMul", ["x", "w"], ["h"]),
        NODE("ReduceMean", ["x"], ["m"], keepdims=0),
        NODE("Greater", ["m", "zero"], ["c"]),
        NODE("If", ["c"], ["y"], **sides),
    ]
    weights = [weight("w", 32, 16), weight("w1", 16, 8), weight("w2", 16, 8), array("zero", 0, np.float32)]
    return Structure(made(nodes, weights), VECTOR, {"dense": 32 * 16, "inner": 2 * 16 * 8})


@structure
def loop() -> Structure:
    """Three times the same layer, whose weight is outside the loop's body."""
    body = _inner(
        [NODE("MatMul", ["s", "w"], ["p"]), NODE("Tanh", ["p"], ["t"]), NODE("Identity", ["go"], ["on"])],
        "body",
        [
            VALUE("i", TensorProto.INT64, []),
            VALUE("go", TensorProto.BOOL, []),
            VALUE("s", FLOAT, ["batch", 32]),
        ],
        [VALUE("on", TensorProto.BOOL, []), VALUE("t", FLOAT, ["batch", 32])],
    )
    nodes = [NODE("Loop", ["n", "yes", "x"], ["z"], body=body), NODE("MatMul", ["z", "v"], ["y"])]
    weights = [weight("w", 32, 32), weight("v", 32, 8), array("n", 3), array("yes", True, np.bool_)]
    return Structure(made(nodes, weights), VECTOR, {"dense": 32 * 8, "inner": 32 * 32})


@structure
def scan() -> Structure:
    """A recurrence along the second axis, written out."""
    body = _inner(
        [NODE("Add", ["s", "e"], ["a"]), NODE("MatMul", ["a", "w"], ["p"]), NODE("Tanh", ["p"], ["t"])],
        "body",
        [VALUE("s", FLOAT, None), VALUE("e", FLOAT, None)],
        [VALUE("t", FLOAT, None)],
    )
    nodes = [
        NODE("ReduceMean", ["x"], ["start"], axes=[1], keepdims=0),
        NODE("Scan", ["start", "x"], ["z"], body=body, num_scan_inputs=1, scan_input_axes=[1]),
        NODE("MatMul", ["z", "v"], ["y"]),
    ]
    weights = [weight("w", 32, 32), weight("v", 32, 8)]
    return Structure(made(nodes, weights, SERIES), SERIES, {"dense": 32 * 8, "inner": 32 * 32})


# ------------------------------------------------------------------ layers


@structure
def shared() -> Structure:
    nodes = [
        NODE("Gemm", ["x", "w"], ["a"], transB=1),
        NODE("Tanh", ["a"], ["b"]),
        NODE("MatMul", ["b", "w"], ["y"]),
    ]
    return Structure(
        made(nodes, [weight("w", 32, 32)], out=(32,)), VECTOR, {"turned": 32 * 32, "dense": 32 * 32}
    )


@structure
def tied_table() -> Structure:
    nodes = [
        NODE("Gather", ["table", "x"], ["e"]),
        NODE("Transpose", ["table"], ["t"], perm=[1, 0]),
        NODE("MatMul", ["e", "t"], ["y"]),
    ]
    model = made(nodes, [weight("table", 40, 16)], TOKENS, (6, 40))
    return Structure(model, TOKENS, {"table": 40 * 16, "dense": 40 * 16})


@structure
def embedding() -> Structure:
    nodes = [
        NODE("Gather", ["table", "x"], ["e"]),
        NODE("ReduceMean", ["e"], ["m"], axes=[1], keepdims=0),
        NODE("MatMul", ["m", "w"], ["y"]),
    ]
    model = made(nodes, [weight("table", 40, 16), weight("w", 16, 8)], TOKENS)
    return Structure(model, TOKENS, {"table": 40 * 16, "dense": 16 * 8})


@structure
def integer_tables() -> Structure:
    """A table of integers that maps tokens to others is no weight in float."""
    mapping = np.random.default_rng(4).permutation(40)
    nodes = [
        NODE("Gather", ["mapping", "x"], ["z"]),
        NODE("Gather", ["table", "z"], ["e"]),
        NODE("MatMul", ["e", "w"], ["y"]),
    ]
    weights = [array("mapping", mapping), weight("table", 40, 16), weight("w", 16, 8)]
    return Structure(made(nodes, weights, TOKENS, (6, 8)), TOKENS, {"table": 40 * 16, "dense": 16 * 8})


@structure
def transposed_convolution() -> Structure:
    nodes = [
        NODE("Conv", ["x", "k"], ["a"]),
        NODE("ConvTranspose", ["a", "u"], ["c"], strides=[2, 2]),
        *pooled(),
        NODE("MatMul", ["v", "w"], ["y"]),
    ]
    weights = [weight("k", 8, 8, 3, 3), weight("u", 8, 16, 2, 2), weight("w", 16, 8)]
    return Structure(
        made(nodes, weights, IMAGE), IMAGE, {"conv": 8 * 8 * 9, "up": 8 * 16 * 4, "dense": 16 * 8}
    )


@structure
def grouped_convolutions() -> Structure:
    nodes = [
        NODE("Conv", ["x", "depthwise"], ["a"], group=8),
        NODE("Relu", ["a"], ["b"]),
        NODE("Conv", ["b", "grouped"], ["c"], group=2),
        *pooled(),
        NODE("Gemm", ["v", "w"], ["y"]),
    ]
    weights = [weight("depthwise", 8, 1, 3, 3), weight("grouped", 16, 4, 1, 1), weight("w", 16, 8)]
    return Structure(made(nodes, weights, IMAGE), IMAGE, {"conv": 8 * 9 + 16 * 4, "dense": 16 * 8})


@structure
def scaled_gemms() -> Structure:
    """alpha, beta and a transposed weight; then a product of data transposed twice."""
    nodes = [
        NODE("Gemm", ["x", "w", "b"], ["a"], transB=1, alpha=0.5, beta=2.0),
        NODE("Transpose", ["a"], ["t"], perm=[1, 0]),
        NODE("Gemm", ["t", "v"], ["y"], transA=1),
    ]
    weights = [weight("w", 16, 32), weight("b", 16), weight("v", 16, 8)]
    return Structure(made(nodes, weights), VECTOR, {"dense": 16 * 32 + 16 * 8})


@structure
def constant_on_the_left() -> Structure:
    nodes = [NODE("MatMul", ["m", "x"], ["a"]), NODE("MatMul", ["a", "w"], ["y"])]
    model = made(nodes, [weight("m", 16, 6), weight("w", 32, 8)], SERIES, (16, 8))
    return Structure(model, SERIES, {"left": 16 * 6, "dense": 32 * 8})


def _recurrent(kind: str, gates: int) -> Structure:
    nodes = [
        NODE("Transpose", ["x"], ["s"], perm=[1, 0, 2]),
        NODE(kind, ["s", "w", "r"], ["", "h"], hidden_size=16),
        NODE("Squeeze", ["h", "axis"], ["v"]),
        NODE("MatMul", ["v", "d"], ["y"]),
    ]
    weights = [
        weight("w", 1, gates * 16, 32),
        weight("r", 1, gates * 16, 16),
        weight("d", 16, 8),
        array("axis", [0]),
    ]
    elements = {kind.lower(): gates * 16 * (32 + 16), "dense": 16 * 8}
    return Structure(made(nodes, weights, SERIES), SERIES, elements)


@structure
def lstm() -> Structure:
    return _recurrent("LSTM", 4)


@structure
def gru() -> Structure:
    return _recurrent("GRU", 3)


@structure
def attention() -> Structure:
    """ONNX Runtime's own operators, as its optimizer for transformers writes them."""
    nodes = [
        NODE("Attention", ["x", "qkv", "b"], ["a"], domain=MS, num_heads=4),
        NODE("SkipLayerNormalization", ["a", "x", "g", "s"], ["n"], domain=MS),
        NODE("MatMul", ["n", "w"], ["y"]),
    ]
    weights = [weight("qkv", 32, 96), weight("b", 96), weight("g", 32), weight("s", 32), weight("w", 32, 8)]
    return Structure(made(nodes, weights, SERIES, (6, 8)), SERIES, {"attention": 32 * 96, "dense": 32 * 8})


@structure
def bidirectional_lstm() -> Structure:
    """With biases and initial states that are constants."""
    nodes = [
        NODE("Transpose", ["x"], ["s"], perm=[1, 0, 2]),
        NODE("LSTM", ["s", "w", "r", "b"], ["", "h"], hidden_size=16, direction="bidirectional"),
        NODE("Transpose", ["h"], ["t"], perm=[1, 0, 2]),
        NODE("Flatten", ["t"], ["v"]),
        NODE("MatMul", ["v", "d"], ["y"]),
    ]
    weights = [weight("w", 2, 64, 32), weight("r", 2, 64, 16), weight("b", 2, 128), weight("d", 32, 8)]
    elements = {"lstm": 2 * 64 * (32 + 16), "bias": 2 * 128, "dense": 32 * 8}
    return Structure(made(nodes, weights, SERIES), SERIES, elements)


@structure
def embedding_with_norm() -> Structure:
    """ONNX Runtime's own operator for the first layers of BERT."""
    nodes = [
        NODE("Cast", ["x"], ["ids"], to=TensorProto.INT32),
        NODE("Sub", ["ids", "ids"], ["zeros"]),
        NODE(
            "EmbedLayerNormalization",
            ["ids", "zeros", "words", "places", "segments", "gamma", "beta"],
            ["e", "mask"],
            domain=MS,
        ),
        NODE("MatMul", ["e", "w"], ["y"]),
    ]
    weights = [
        weight("words", 40, 16),
        weight("places", 6, 16),
        weight("segments", 2, 16),
        weight("w", 16, 8),
    ]
    weights += [weight("gamma", 16), weight("beta", 16)]
    elements = {"norm table": (40 + 6 + 2) * 16, "dense": 16 * 8}
    return Structure(made(nodes, weights, TOKENS, (6, 8)), TOKENS, elements)


@structure
def standard_attention() -> Structure:
    """The standard's own Attention, which has the name of ONNX Runtime's and no weights."""
    nodes = [
        *(NODE("MatMul", ["x", name], [name.upper()]) for name in "qkv"),
        NODE("Attention", ["Q", "K", "V"], ["a"], q_num_heads=4, kv_num_heads=4),
        NODE("MatMul", ["a", "w"], ["y"]),
    ]
    weights = [*(weight(name, 32, 32) for name in "qkv"), weight("w", 32, 8)]
    model = made(nodes, weights, SERIES, (6, 8), opset=23, ir=11)
    return Structure(model, SERIES, {"dense": 3 * 32 * 32 + 32 * 8})


@structure
def own_operator_without_shapes() -> Structure:
    """An operator whose outputs onnx cannot infer, and outputs without a shape."""
    nodes = [
        NODE("MatMul", ["x", "w1"], ["a"]),
        NODE("FusedMatMul", ["a", "w2"], ["b"], domain=MS, alpha=0.5, transB=1),
        NODE("MatMul", ["b", "w3"], ["y"]),
    ]
    model = made(nodes, [weight("w1", 32, 16), weight("w2", 16, 16), weight("w3", 16, 8)])
    model.graph.output[0].type.tensor_type.ClearField("shape")
    return Structure(model, VECTOR, {"dense": 32 * 16, "after": 16 * 8, "fused": 16 * 16})


@structure
def shared_convolution_and_bias() -> Structure:
    """One convolution, its bias too, on two views; then the bias in a dense layer as well."""
    nodes = [
        NODE("Conv", ["x", "k", "b"], ["c1"], pads=[1, 1, 1, 1]),
        NODE("Relu", ["c1"], ["r"]),
        NODE("Conv", ["r", "k", "b"], ["c"], pads=[1, 1, 1, 1]),
        *pooled(),
        NODE("Concat", ["v", "v"], ["twice"], axis=1),
        NODE("Gemm", ["twice", "w", "b"], ["y"], transB=1),
    ]
    weights = [weight("k", 8, 8, 3, 3), weight("b", 8), weight("w", 8, 16)]
    return Structure(made(nodes, weights, IMAGE), IMAGE, {"conv": 8 * 8 * 9, "dense": 8 * 16})


@structure
def tied_autoencoder() -> Structure:
    """A transposed convolution with the weight of a convolution."""
    nodes = [
        NODE("Conv", ["x", "k"], ["a"]),
        NODE("Relu", ["a"], ["r"]),
        NODE("ConvTranspose", ["r", "k"], ["c"]),
        *pooled(),
        NODE("Concat", ["v", "v"], ["twice"], axis=1),
        NODE("MatMul", ["twice", "w"], ["y"]),
    ]
    weights = [weight("k", 16, 8, 3, 3), weight("w", 16, 8)]
    return Structure(
        made(nodes, weights, IMAGE), IMAGE, {"conv": 16 * 8 * 9, "up": 16 * 8 * 9, "dense": 16 * 8}
    )
