"""Fixtures of the integration tests."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from bench import Bench
from onnx import TensorProto, helper, numpy_helper


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A folder whose name needs quoting; whatever is still alive at the end is killed."""
    folder = tmp_path / 'a bench\'s "home"'
    folder.mkdir()
    made = Bench(folder)
    yield made
    for process in made.started:  # the manager too, which would disturb the next test
        if process.poll() is None:
            process.kill()
            process.communicate()
    for worker in made.workers():
        worker.kill()


@pytest.fixture
def onnx_file(bench: Bench) -> Path:
    """A small ONNX model beside the suite; its batch is free."""
    rng = np.random.default_rng(3)
    weights = rng.standard_normal((16, 4)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["input", "weights"], ["product"]),
            helper.make_node("Relu", ["product"], ["output"]),
        ],
        "net",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 16])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    path = bench.folder / "my net.onnx"
    onnx.save(model, str(path))
    return path
