"""Single layers as ONNX graphs and their weights: their products are compared with numpy."""

from __future__ import annotations

import numpy as np
import onnx
import tiny
from onnx import TensorProto, helper, numpy_helper

from harness.artifacts.artifact import Artifact
from harness.formats.onnx import graph as onnx_graph
from harness.formats.target import Target
from harness.runtimes.registry import RUNTIMES

RNG = np.random.default_rng(5)


def write(folder, nodes, shape, out, weights):
    """A graph x → y as an Artifact, inputs (batch, *shape)."""
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", *out])]
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    folder.mkdir(parents=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, str(folder / onnx_graph.MODEL))
    return Artifact("g", "onnx", folder)


DENSE = {
    "w": RNG.standard_normal((8, 4)).astype(np.float32) * [[0.1, 1, 3, 0.5]],
    "b": RNG.standard_normal(4),
}
DENSE = {name: array.astype(np.float32) for name, array in DENSE.items()}
CONV = {
    "w": (RNG.standard_normal((3, 2, 3, 3)) * np.array([0.1, 1, 4])[:, None, None, None]).astype(np.float32),
    "b": RNG.standard_normal(3).astype(np.float32),
}


def gemm(folder):
    return write(folder, [helper.make_node("Gemm", ["x", "w", "b"], ["y"])], [8], [4], DENSE)


def conv(folder):
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], pads=[1, 1, 1, 1])
    return write(folder, [node], [2, 6, 6], [3, 6, 6], CONV)


def context(shape, data, **about):
    from harness.formats.tensors import TensorSpec

    return tiny.Context((TensorSpec(name="x", shape=shape),), data, **about)


def samples(shape, count, seed=1):
    return np.random.default_rng(seed).standard_normal((count, *shape)).astype(np.float32)


def run(artifact, x, optimize="disabled"):
    entry = RUNTIMES.get("onnxruntime")
    config = entry.config(graph_optimization=optimize)
    return entry.open_session(config, artifact, Target(batch=len(x), threads=1)).run((x,))[0]


def columns(x):
    """3 × 3 patches of padded images: (n, h, w, channels · 9)."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    patches = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return patches.transpose(0, 2, 3, 1, 4, 5).reshape(*x.shape[:1], *x.shape[2:], -1)
