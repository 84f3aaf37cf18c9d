"""Our single-stream percentiles beside LoadGen's: one Session in one process, Blocks interleaved.

Printed and kept in the benchmark's `extra_info`, not asserted: `pytest tests/perf/test_perf_loadgen.py -s`.
Each pair of neighbouring Blocks gives a ratio ours / LoadGen's, whose spread is that of the machine.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.artifacts.artifact import Artifact
from harness.formats.target import Target
from harness.measure import loadgen as mlperf
from harness.measure.clock import PerfClock
from harness.measure.scenarios.registry import SCENARIOS, Load, Seat
from harness.runtimes.registry import RUNTIMES
from harness.stats.quantiles import min_calls

pytest.importorskip(mlperf.MODULE, reason="mlcommons-loadgen is not installed (extra: loadgen)")

PAIRS = 12
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def dense(folder: Path, width: int) -> Path:
    """Three dense layers of `width` inputs and outputs, as an ONNX file."""
    from onnx import TensorProto, helper, numpy_helper, save

    rng = np.random.default_rng(0)
    nodes, weights, name = [], [], "input"
    for i in range(3):
        weight = rng.standard_normal((width, width), dtype=np.float32) / np.float32(np.sqrt(width))
        weights.append(numpy_helper.from_array(weight, f"w{i}"))
        nodes += [
            helper.make_node("MatMul", [name, f"w{i}"], [f"m{i}"]),
            helper.make_node("Relu", [f"m{i}"], [f"r{i}"]),
        ]
        name = f"r{i}"
    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, width]) for n in ("input", name)]
    graph = helper.make_graph(nodes, "dense", value[:1], value[1:], weights)
    save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10),
        str(folder / "model.onnx"),
    )
    return folder


def no_op() -> None:
    """What LoadGen and its Python binding take for themselves, and what we do."""


def test_cost_of_asking(benchmark: Any) -> None:
    """Median of a no-op: what stands in each timed call besides the call itself."""
    pair = loads([no_op] * 4, 0.01)
    for one in pair:
        one.count = 5000
    costs = [float(np.median(one.block().calls_ns)) for one in pair]
    benchmark.pedantic(pair[0].block, rounds=3)
    said = f"a no-op: ours {costs[0]:.0f} ns, LoadGen {costs[1]:.0f} ns"
    benchmark.extra_info["cost"] = said
    print(f"\n{said}", end="")


def loads(calls: list[Any], block_s: float) -> list[Load]:
    seat = Seat(None, calls, PerfClock(), block_s, 1.0)
    entries = [SCENARIOS.get(name) for name in ("single-stream", "loadgen-single-stream")]
    return [entry.load(entry.workload(scenario=entry.name), seat) for entry in entries]


@pytest.mark.parametrize("width", [256, 1024, 4096])
def test_single_stream_beside_loadgens(benchmark: Any, tmp_path: Path, width: int, timed: bool) -> None:
    """Ratio of our percentile to LoadGen's: median and range over the pairs, and of all calls pooled."""
    width, block_s = (width, 0.2) if timed else (width // 16, 0.01)
    runtime = RUNTIMES.get("onnxruntime")
    artifact = Artifact("perf", "onnx", dense(tmp_path, width))
    session = runtime.open_session(runtime.config(), artifact, Target(1, "cpu", 1, ()))
    rng = np.random.default_rng(1)
    calls = [session.bind([rng.standard_normal((1, width), dtype=np.float32)]) for _ in range(4)]
    ours, theirs = loads(calls, block_s)
    for one in (ours, theirs):
        one.warm()
    count = max(ours.count, -(-min_calls(0.99) // PAIRS))
    ours.count = theirs.count = count
    samples: dict[Load, list[np.ndarray]] = {ours: [], theirs: []}

    def pair() -> None:
        for one in random.sample([ours, theirs], 2):
            samples[one].append(one.block().calls_ns)

    benchmark.pedantic(pair, rounds=PAIRS, iterations=1)
    for name, q in QUANTILES.items():
        each = [np.quantile(a, q) / np.quantile(b, q) for a, b in zip(*samples.values(), strict=True)]
        pooled = [np.quantile(np.concatenate(found), q) for found in samples.values()]
        low, middle, high = np.quantile(each, [0.1, 0.5, 0.9])
        said = (
            f"{name}: ours {pooled[0] / 1e3:.1f} us, LoadGen {pooled[1] / 1e3:.1f} us, ratio {middle:.4f} "
            f"(80 % of {PAIRS} pairs: {low:.4f} to {high:.4f}; pooled {pooled[0] / pooled[1]:.4f})"
        )
        benchmark.extra_info[name] = said
        print(f"\n3 x {width}^2, {count} calls a Block, {said}", end="")
    session.close()
