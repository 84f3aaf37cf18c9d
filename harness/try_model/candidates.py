"""The goals and the techniques of `harness try`, as data; what the planner refuses is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.analysis.compare.comparison import Comparison
from harness.report.columns import own_memory
from harness.runner.plan import Plan
from harness.suite.pipeline import Pipeline

Steps = tuple[dict[str, Any], ...]
DENSE = ("MatMul", "Gemm", "Attention", "MultiHeadAttention", "LSTM", "GRU", "Gather")
"""Operators of an ONNX graph whose weights can be stored in fewer bits without calibration."""
ORT: dict[str, Any] = {"runtime": "onnxruntime"}
OPENVINO: dict[str, Any] = {"runtime": "openvino"}
COMPILE: dict[str, Any] = {"runtime": "torch-compile"}
NEEDS_DATA = "needs samples to calibrate with: give --data"
CALIBRATION = {"samples": 128}
"""Fewer than by default, since each build must be short."""


@dataclass(frozen=True)
class Goal:
    """What is to become better: the workload that shows it, and the batch where none is asked for.

    `need`: the bytes that count; None: the speed counts. `less` says how a Cell that needs fewer compares.
    """

    name: str
    scenario: str
    batch: int
    meaning: str
    need: Callable[[Comparison], float | None] | None = None
    less: str = ""


GOALS = {
    goal.name: goal
    for goal in (
        Goal("latency", "single-stream", 1, "one call after the other; the median call counts"),
        Goal("throughput", "offline", 16, "all samples at once; samples per second count"),
        Goal(
            "memory",
            "single-stream",
            1,
            "the memory beside that of an empty worker counts",
            own_memory,
            "lower in memory",
        ),
        Goal(
            "size",
            "single-stream",
            1,
            "the size of the model's files counts",
            lambda row: row.artifact_bytes,
            "smaller",
        ),
    )
}


@dataclass(frozen=True)
class Candidate:
    """A technique that may be tried.

    `build_s`: seconds that its build takes for a model of some 50 MB on a few cores, for the order. `goals`:
    those that it can serve; empty: all. `operators`: an ONNX graph without any of them gains nothing from it.
    """

    name: str
    steps: Steps
    about: str
    build_s: float
    goals: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()


def _quantize(method: str, runtime: dict[str, Any], **settings: Any) -> Steps:
    return ({"quantize": {"method": method, **settings}}, runtime)


CANDIDATES = (
    Candidate("onnxruntime", (ORT,), "ONNX Runtime", 1),
    Candidate("eager", ({"runtime": "torch-eager"},), "PyTorch, operator by operator", 0),
    Candidate("openvino", (OPENVINO,), "OpenVINO", 3),
    Candidate(
        "int8-dynamic", _quantize("dynamic", ORT), "int8; ranges found at run time", 3, operators=DENSE
    ),
    Candidate(
        "int8-static", _quantize("static", ORT, calibration=CALIBRATION), "int8; ranges from the data", 5
    ),
    Candidate(
        "int8-weights",
        _quantize("weight-only", ORT, dtype="int8"),
        "int8 weights, float computation",
        4,
        ("memory", "size"),
        DENSE,
    ),
    Candidate(
        "int4-weights",
        _quantize("weight-only", ORT, dtype="int4"),
        "int4 weights, float computation",
        4,
        operators=DENSE,
    ),
    Candidate(
        "int4-int8",
        _quantize("weight-only", ORT, dtype="int4", compute="int8"),
        "int4 weights, int8 computation",
        4,
        operators=DENSE,
    ),
    Candidate(
        "fp16",
        ({"precision": "fp16"}, ORT),
        "float16: half the size; kernels depend on the device",
        3,
        ("memory", "size"),
    ),
    Candidate(
        "openvino-weights",
        _quantize("nncf-weights", OPENVINO),
        "weights in fewer bits, by NNCF",
        6,
        operators=DENSE,
    ),
    Candidate(
        "openvino-bf16",
        ({"runtime": {"name": "openvino", "precision": "bf16"}},),
        "computation in bfloat16",
        4,
        ("latency", "throughput"),
    ),
    Candidate(
        "openvino-int8",
        _quantize("nncf-static", OPENVINO, calibration=CALIBRATION),
        "int8 by NNCF; ranges from the data",
        12,
    ),
    Candidate(
        "replicas-2",
        (ORT, {"replicate": {"replicas": 2}}),
        "2 processes, half the threads each",
        1,
        ("throughput",),
    ),
    Candidate(
        "int8-static-replicas-2",
        (*_quantize("static", ORT, calibration=CALIBRATION), {"replicate": {"replicas": 2}}),
        "static int8 in 2 processes",
        8,
        ("throughput",),
    ),
    Candidate("compile", (COMPILE,), "compiled by TorchInductor", 40, ("latency", "throughput")),
    Candidate(
        "compile-bf16",
        ({"precision": "bf16"}, COMPILE),
        "compiled, in bfloat16",
        40,
        ("latency", "throughput"),
    ),
    Candidate(
        "compile-int8",
        _quantize("torchao-dynamic", COMPILE),
        "compiled; dense layers in int8, ranges found at run time",
        45,
        ("latency", "throughput"),
    ),
)


@dataclass(frozen=True)
class Chosen:
    """What is tried, cheap builds first and the baseline at the start; and why the others are left out."""

    baseline: str
    candidates: tuple[Candidate, ...]
    left_out: Mapping[str, str]


def for_goal(goal: Goal, candidates: Iterable[Candidate] = CANDIDATES) -> list[Candidate]:
    """Return the candidates that can serve a goal, cheap builds first."""
    return sorted((c for c in candidates if not c.goals or goal.name in c.goals), key=lambda c: c.build_s)


def choose(plan: Plan, candidates: Iterable[Candidate]) -> Chosen | None:
    """Return what runs here, of a Plan with one Group that has all candidates; None where nothing does.

    The baseline is the first that runs the model's own format without a conversion, as people have it.
    """
    (group,) = plan.groups
    model = group.cells[0].model
    has_data = model.source.has_data(model.config)
    planned = {cell.pipeline.name: plan.cells[cell.cell_id] for cell in group.cells}
    operators = _graph_operators(plan.inspections.get(model.name, {}))
    left_out: dict[str, str] = {}
    kept: list[Candidate] = []
    for one in candidates:
        if not _takes(planned[one.name].cell.pipeline, model.source.format):
            left_out[one.name] = f"not for models in the format {model.source.format}"
        elif not has_data and _needs_data(planned[one.name].cell.pipeline, model.source.format):
            left_out[one.name] = NEEDS_DATA
        elif reason := planned[one.name].skip:
            left_out[one.name] = reason
        elif operators is not None and one.operators and not operators & {*one.operators}:
            left_out[one.name] = f"the graph has no {', '.join(one.operators[:-1])} or {one.operators[-1]}"
        else:
            kept.append(one)
    plain = [one for one in kept if len(one.steps) == 1]
    as_given = [one for one in plain if all(job.stage is None for job in planned[one.name].jobs)]
    first = next(iter([*as_given, *plain]), None)
    if first is None:
        return None
    return Chosen(first.name, (first, *(one for one in kept if one is not first)), left_out)


def _needs_data(pipeline: Pipeline, format: str) -> bool:
    """Whether a step calibrates or trains."""
    return any(stage.step.needs_training_data(stage.config) for stage in pipeline.stages(format))


def _takes(pipeline: Pipeline, format: str) -> bool:
    """Whether steps and conversions lead from the model's format to the runtime."""
    try:
        pipeline.stages(format)
    except ValueError:
        return False
    return True


def _graph_operators(inspection: Mapping[str, Any]) -> set[str] | None:
    """Return the operators of an ONNX graph; None where only the types of a module's layers are known."""
    return set(inspection.get("operators", ())) if inspection.get("opsets") else None
