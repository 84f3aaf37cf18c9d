"""Weight-only quantization: each product is what numpy makes of the weights in blocks."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import tiny
from pydantic import ValidationError

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError
from harness.formats.onnx import graph as onnx_graph
from harness.formats.onnx.rewriting import gemm_to_matmul
from harness.formats.target import Target
from harness.formats.tensors import TensorSpec
from harness.runtimes.registry import RUNTIMES
from harness.techniques.quantize.ort_library import check_runs
from harness.techniques.quantize.ort_weight_only import WeightOnlyQuantize

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

RNG = np.random.default_rng(3)
DEPTH, OUT = 80, 6  # the last block of 32 is padded
W = (RNG.standard_normal((DEPTH, OUT)) * [0.1, 1, 3, 0.5, 1, 2]).astype(np.float32)
B = RNG.standard_normal(OUT).astype(np.float32)
X = RNG.standard_normal((5, DEPTH)).astype(np.float32)
SPECS = (TensorSpec(name="x", shape=(DEPTH,)),)


def write(folder, nodes, weights, out=OUT, shape=(DEPTH,)):
    values = [("x", ["batch", *shape]), ("y", ["batch", out])]
    given, made = (helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in values)
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", [given], [made], tensors)
    folder.mkdir(parents=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, str(folder / onnx_graph.MODEL))
    return Artifact("g", "onnx", folder)


def gemm(folder, weight=W, **settings):
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], **settings)
    return write(folder, [node], {"w": weight, "b": B})


def run(artifact, x=X):
    entry = RUNTIMES.get("onnxruntime")
    return entry.open_session(entry.config(), artifact, Target(batch=len(x), threads=1)).run((x,))[0]


def blocks_rounded(w, bits, block, symmetric):
    """Weights after a round trip through blocks of `bits`: (depth, out)."""
    depth, out = w.shape
    padded = np.zeros((-(-depth // block) * block, out))
    padded[:depth] = w
    cut = padded.reshape(-1, block, out)
    levels = 2**bits
    low, high = cut.min(axis=1, keepdims=True), cut.max(axis=1, keepdims=True)
    if symmetric:  # the value farthest from zero becomes the lowest level
        farthest = np.where(np.abs(low) > np.abs(high), low, high)
        scale, zero = farthest / -(levels // 2), levels // 2
    else:
        low, high = np.minimum(low, 0), np.maximum(high, 0)
        scale = (high - low) / (levels - 1)
        zero = np.rint(-low / np.where(scale == 0, 1, scale))
    safe = np.where(scale == 0, 1, scale)
    q = np.clip(np.rint(cut / safe) + zero, 0, levels - 1)
    return ((q - zero) * scale).reshape(padded.shape)[:depth]


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("block", [16, 32, 128])
@pytest.mark.parametrize(("dtype", "bits"), [("int2", 2), ("int4", 4), ("int8", 8)])
def test_the_product_is_that_of_the_rounded_weights(dtype, bits, block, symmetric, tmp_path):
    artifact, about = tiny.build(
        "quantize/weight-only",
        gemm(tmp_path / "f"),
        tmp_path / "q",
        tiny.Context(SPECS),
        dtype=dtype,
        block_size=block,
        symmetric=symmetric,
    )
    rounded = blocks_rounded(W, bits, block, symmetric)
    step = np.abs(W).max(axis=0) / 2 ** (bits - 1)  # a rounding half either way in one weight
    error = np.abs(run(artifact) - (X @ rounded + B))
    assert (error <= 1e-3 + np.abs(X).max() * step).all()
    assert np.mean(error <= 1e-4 + 1e-4 * np.abs(X @ W)) > 0.8
    assert np.abs(run(artifact) - (X @ W + B)).max() > 1e-3
    assert about["rewritten_gemm"] == 1
    assert about["compute_dtype"] == f"float32 × {dtype} in blocks of {block}"
    assert about["weight_only_operators"] == {"MatMulNBits": 1}
    assert about["weight_only_flops_share"] == 1.0
    assert about["low_precision_weight_share"] == 1.0
    assert about["low_precision_flops_share"] == 0.0


def test_int8_compute_rounds_activations_too_and_counts_as_integer(tmp_path):
    plain, _ = tiny.build("quantize/weight-only", gemm(tmp_path / "f"), tmp_path / "p", tiny.Context(SPECS))
    artifact, about = tiny.build(
        "quantize/weight-only", gemm(tmp_path / "g"), tmp_path / "q", tiny.Context(SPECS), compute="int8"
    )
    assert about["low_precision_flops_share"] == 1.0
    step = np.abs(X).max() / 127 * np.abs(W).sum(axis=0)
    assert (np.abs(run(artifact) - run(plain)) <= step).all()


@pytest.mark.parametrize(("dtype", "block"), [("int4", 16), ("int4", 32), ("int2", 32), ("int2", 128)])
def test_int8_compute_is_that_of_activations_rounded_in_blocks(dtype, block, tmp_path):
    """Symmetric, with a scale for each block of a row: nearer to it than to float activations."""
    made, _ = tiny.build(
        "quantize/weight-only", gemm(tmp_path / "f"), tmp_path / "q", tiny.Context(SPECS),
        compute="int8", dtype=dtype, block_size=block,
    )  # fmt: skip
    padded = np.zeros((len(X), -(-DEPTH // block) * block))
    padded[:, :DEPTH] = X
    cut = padded.reshape(len(X), -1, block)
    scale = np.abs(cut).max(axis=-1, keepdims=True) / 127
    seen = (np.rint(cut / scale) * scale).reshape(len(X), -1)[:, :DEPTH]
    weights = blocks_rounded(W, int(dtype[3:]), block, symmetric=True)
    expected, exact = seen @ weights + B, X @ weights + B
    error = np.abs(run(made) - expected).max()
    assert error < 0.1 * np.abs(exact - expected).max()


def test_blocks_that_no_integer_kernel_takes_are_refused():
    for block in (16, 256):
        with pytest.raises(ValidationError, match="compute: int8 with int2 takes blocks of 32, 64 or 128; "):
            WeightOnlyQuantize(dtype="int2", block_size=block, compute="int8")


def test_fewer_bits_take_less_room(tmp_path):
    sizes = []
    weight = RNG.standard_normal((512, 256)).astype(np.float32)
    for dtype in ("int8", "int4", "int2"):
        node = helper.make_node("MatMul", ["x", "w"], ["y"])
        source = write(tmp_path / f"f{dtype}", [node], {"w": weight}, 256, (512,))
        specs = (TensorSpec(name="x", shape=(512,)),)
        made, _ = tiny.build(
            "quantize/weight-only", source, tmp_path / dtype, tiny.Context(specs), dtype=dtype, block_size=128
        )
        sizes.append(made.file(onnx_graph.MODEL).stat().st_size)
    assert sizes[0] < 0.3 * weight.nbytes
    assert sizes[1] < 0.55 * sizes[0]
    assert sizes[2] < 0.55 * sizes[1]


def test_a_weight_that_two_products_share_is_quantized_once(tmp_path):
    square = RNG.standard_normal((DEPTH, DEPTH)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("MatMul", ["h", "w"], ["y"])]
    source = write(tmp_path / "f", nodes, {"w": square}, DEPTH)
    artifact, about = tiny.build(
        "quantize/weight-only", source, tmp_path / "q", tiny.Context(SPECS), dtype="int8"
    )
    assert about["weight_only_operators"] == {"MatMulNBits": 2}
    names = [t.name for t in onnx_graph.load_checked(artifact.file(onnx_graph.MODEL)).graph.initializer]
    assert len(names) == len(set(names)) == 2
    exact = X @ square @ square
    assert np.abs(run(artifact) - exact).max() < 0.05 * np.abs(exact).max()


def test_convolutions_alone_cannot_be_quantized_and_the_reason_says_so(tmp_path):
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    source = write(tmp_path / "f", [node], {"w": np.ones((3, 2, 3, 3), np.float32)}, "a", (2, 6, 6))
    with pytest.raises(BuildError, match="nothing was quantized: the graph has only Conv in float"):
        tiny.build("quantize/weight-only", source, tmp_path / "q", tiny.Context(SPECS))


# ------------------------------------------------------------------ Gemm as MatMul and Add


@pytest.mark.parametrize(
    "settings",
    [{}, {"transB": 1}, {"alpha": 0.5}, {"beta": 2.0}, {"alpha": -1.5, "beta": 0.25, "transB": 1}],
)
def test_a_rewritten_gemm_gives_the_same_outputs(settings, tmp_path):
    weight = np.ascontiguousarray(W.T) if settings.get("transB") else W
    source = gemm(tmp_path / "f", weight, **settings)
    model = onnx_graph.load_checked(source.file(onnx_graph.MODEL))
    assert gemm_to_matmul(model) == 1
    assert onnx_graph.operators(model) == {"MatMul": 1, "Add": 1}
    (tmp_path / "m").mkdir()
    onnx.save(model, str(tmp_path / "m" / onnx_graph.MODEL))
    np.testing.assert_allclose(run(Artifact("m", "onnx", tmp_path / "m")), run(source), rtol=1e-4, atol=1e-4)
    expected = settings.get("alpha", 1.0) * (X @ W) + settings.get("beta", 1.0) * B
    np.testing.assert_allclose(run(source), expected, rtol=1e-4, atol=1e-4)


def test_a_gemm_without_a_bias_becomes_a_product_alone(tmp_path):
    source = write(tmp_path / "f", [helper.make_node("Gemm", ["x", "w"], ["y"])], {"w": W})
    model = onnx_graph.load_checked(source.file(onnx_graph.MODEL))
    assert gemm_to_matmul(model) == 1
    assert onnx_graph.operators(model) == {"MatMul": 1}


@pytest.mark.parametrize(
    ("inputs", "settings"),
    [(["x", "v", "b"], {}), (["x", "w", "b"], {"transA": 1}), (["x", "w", "v"], {"beta": 0.5})],
    ids=["two activations", "transposed data", "scaled bias"],
)
def test_a_gemm_that_cannot_be_rewritten_stays(inputs, settings, tmp_path):
    model = onnx_graph.load_checked(gemm(tmp_path / "f").file(onnx_graph.MODEL))
    model.graph.input.append(helper.make_tensor_value_info("v", TensorProto.FLOAT, [DEPTH, OUT]))
    del model.graph.node[:]
    model.graph.node.append(helper.make_node("Gemm", inputs, ["y"], **settings))
    before = model.SerializeToString()
    assert gemm_to_matmul(model) == 0
    assert model.SerializeToString() == before


# ------------------------------------------------------------------ what this build cannot


def test_a_result_that_cannot_run_is_told_with_the_version(tmp_path):
    node = helper.make_node("MatMulNBits", ["x", "w", "s"], ["y"], domain="com.microsoft", K=DEPTH, N=OUT)
    weights = {"w": np.zeros((OUT, 5, 8), np.uint8), "s": np.zeros((OUT, 5), np.float32)}
    source = write(tmp_path / "f", [node], weights)
    with pytest.raises(BuildError, match=r"onnxruntime \d+\.\d+\.\d+ cannot run the result: "):
        check_runs(source.file(onnx_graph.MODEL), SPECS)


def test_a_release_that_lacks_the_bits_is_told(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime.quantization.matmul_nbits_quantizer")
    module = sys.modules["onnxruntime.quantization.matmul_nbits_quantizer"]

    def process(_self):
        raise AssertionError("Only support 4 bits quantization")

    monkeypatch.setattr(module.MatMulNBitsQuantizer, "process", process)
    with pytest.raises(BuildError, match="cannot quantize to 8 bits: AssertionError: Only support 4 bits"):
        tiny.build(
            "quantize/weight-only", gemm(tmp_path / "f"), tmp_path / "q", tiny.Context(SPECS), dtype="int8"
        )
