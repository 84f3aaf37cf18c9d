"""Mixed precision by sensitivity: static int8, but the layers that damage the answers most stay in float."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError
from harness.formats.low_precision.onnx import report
from harness.formats.onnx import graph as onnx_graph
from harness.formats.tensors import Array
from harness.techniques.quantize import sensitivity
from harness.techniques.quantize.calibration import batches
from harness.techniques.quantize.ort_static import ABOUT, StaticSettings, describe, resolve
from harness.techniques.registry import BuildContext, transform

if TYPE_CHECKING:
    import onnx


class MixedQuantize(StaticSettings):
    """As many layers in int8 as the budget allows; it is checked on the calibration items."""

    method: Literal["mixed"] = "mixed"
    max_drop: float | None = Field(
        default=0.005,
        ge=0,
        lt=1,
        description="share of calibration items whose top-1 answer may change against the float graph",
    )
    min_sqnr_db: float | None = Field(
        default=None, description="least ratio of signal to quantization noise of the outputs, decibels"
    )
    probe: int = Field(
        default=64, ge=1, description="calibration items on which each layer's damage is measured, at most"
    )

    @model_validator(mode="after")
    def _budget_and_samples(self) -> MixedQuantize:
        if self.max_drop is None and self.min_sqnr_db is None:
            raise ValueError("there is no budget to hold: give max_drop or min_sqnr_db")
        if self.probe > self.calibration.samples and self.probe != type(self).model_fields["probe"].default:
            raise ValueError(
                f"probe: {self.probe} items, and calibration has {self.calibration.samples}; "
                "allowed: as many at most"
            )
        return self


@transform(
    "quantize",
    MixedQuantize,
    select=("method", "mixed"),
    summary="static int8, the most sensitive layers left in float until a budget holds (ONNX Runtime)",
    **ABOUT,
)
def quantize_mixed(
    config: MixedQuantize, source: Artifact, out: Path, context: BuildContext
) -> dict[str, Any]:
    """Measure each layer alone, then leave out the worst, as few as will do."""
    import onnx

    from harness.techniques.quantize.probing import check_runs, kernels
    from harness.techniques.quantize.static_graph import name_nodes

    before = onnx_graph.load_checked(source.file(onnx_graph.MODEL))
    name_nodes(before)
    fixed = onnx_graph.fixed_batch(before)
    samples = batches(config.calibration, context, fixed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / onnx_graph.MODEL
        onnx.save(before, str(path))
        search = _Search(
            config, resolve(config, context.target, context.cpu_features), path, before, samples, fixed
        )
        report(search.graph(), before, integer=True)  # fails where no layer can be quantized at all
        layers = search.layers()
        context.say(f"{len(layers)} layers; worst: {layers[0].name}")
        model, left, drop = search.fewest_in_float([layer.name for layer in layers])
    made = out / onnx_graph.MODEL
    onnx.save(model, str(made))
    check_runs(made, context.inputs, fixed or 1)
    return {
        **report(model, before, integer=True, kernels=kernels(made)),
        **describe(config, context, samples),
        **drop,
        "sensitivity": [{**layer.content(), "in_float": layer.name in left} for layer in layers],
    }


@dataclass
class _Search:
    """The graph at `path`, its calibration items, and what is tried on them."""

    config: MixedQuantize
    resolved: dict[str, Any]
    path: Path
    before: onnx.ModelProto
    samples: list[dict[str, Array]]
    fixed: int | None = None

    def __post_init__(self) -> None:
        from harness.techniques.quantize.static_graph import calibrate

        self.ranges = calibrate(self.path, self.config.calibration, self.samples)
        self.exact = sensitivity.answers(self.path, self.samples)
        if not all(np.isfinite(answer).all() for answer in self.exact):
            raise BuildError(
                "the float graph answers calibration items with NaN or infinity: nothing to hold"
            )
        if self.config.min_sqnr_db is None and sensitivity.disagreement(self.exact, self.exact) is None:
            raise BuildError("there is no budget to hold: the answers are no classes; give min_sqnr_db")

    def layers(self) -> list[sensitivity.Layer]:
        """Quantize each layer alone; return their damage, the worst first."""
        found = sensitivity.candidates(self.before)
        if not found:
            raise BuildError("no layer has constant weights, so there is none to choose: use method static")
        work = [flops for _, flops in found.values()]
        total = None if None in work else sum(flops or 0.0 for flops in work)
        probes, exact = self._probes()
        layers = []
        for name, (operator, flops) in found.items():
            got = sensitivity.answers(self.graph(only=[name]).SerializeToString(), probes)
            share = flops / total if flops is not None and total else None
            noise = sensitivity.sqnr_db(exact, got)
            layers.append(
                sensitivity.Layer(name, operator, noise, sensitivity.disagreement(exact, got), share)
            )
        return sorted(layers, key=lambda layer: layer.sqnr_db)

    def fewest_in_float(self, worst_first: list[str]) -> tuple[onnx.ModelProto, set[str], dict[str, Any]]:
        """Leave out the fewest of the worst layers that hold the budget, by bisection.

        Returns the graph, the layers in float, and what was lost. Raises BuildError when none can be kept.
        """
        tried: dict[int, tuple[onnx.ModelProto, dict[str, Any]]] = {}

        def holds(count: int) -> bool:
            if count not in tried:
                graph = self.graph(exclude=worst_first[:count])
                tried[count] = graph, self._lost(graph)
            return self._within(tried[count][1])

        low, high = 0, len(worst_first)
        holds(0)
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if holds(middle) else (middle + 1, high)
        if low == len(worst_first):
            told = self._said(tried[0][1])
            raise BuildError(f"no layer can be quantized within the budget; all in int8: {told}")
        graph, lost = tried[low]
        everything = {f"all_int8_{name}": value for name, value in tried[0][1].items()}
        return graph, set(worst_first[:low]), {**lost, **everything, "layers_in_float": low}

    def graph(self, only: list[str] | None = None, exclude: list[str] | None = None) -> onnx.ModelProto:
        """Return the graph in int8: all of it, or `only` these layers, or all but `exclude`."""
        from harness.techniques.quantize.static_graph import quantized

        left = sensitivity.with_followers(self.before, exclude or ())
        return quantized(self.path, self.ranges, self.resolved, self.config.per_channel, left, only or ())

    def _lost(self, graph: onnx.ModelProto) -> dict[str, Any]:
        got = sensitivity.answers(graph.SerializeToString(), self.samples)
        noise = sensitivity.sqnr_db(self.exact, got)
        return {"disagreement": sensitivity.disagreement(self.exact, got), "sqnr_db": min(noise, 999.0)}

    def _within(self, lost: dict[str, Any]) -> bool:
        config, changed = self.config, lost["disagreement"]
        if config.min_sqnr_db is not None and lost["sqnr_db"] < config.min_sqnr_db:
            return False
        return config.max_drop is None or changed is None or changed <= config.max_drop

    def _said(self, lost: dict[str, Any]) -> str:
        changed = "" if lost["disagreement"] is None else f"{lost['disagreement']:.2%} of answers changed, "
        return f"{changed}{lost['sqnr_db']:.1f} dB"

    def _probes(self) -> tuple[list[dict[str, Array]], sensitivity.Answers]:
        """The items to probe with, and the exact answers to them; a fixed batch is not cut."""
        left, probes = self.config.probe, []
        for batch in self.samples:
            size = len(next(iter(batch.values())))
            taken = size if self.fixed else min(size, left)
            probes.append({name: array[:taken] for name, array in batch.items()})
            left -= taken
            if left <= 0:
                break
        count = sum(len(next(iter(batch.values()))) for batch in probes)
        return probes, [answer[:count] for answer in self.exact]
