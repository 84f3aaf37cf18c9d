"""Mixed precision by sensitivity: static int8, but the most sensitive layers stay in float."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError
from harness.formats.low_precision.onnx import report
from harness.formats.onnx import graph as onnx_graph
from harness.formats.onnx.flops import known_sum
from harness.formats.tensors import Array, refuse_other_axes
from harness.techniques.quantize import sensitivity
from harness.techniques.quantize.calibration import batches
from harness.techniques.quantize.ort_preparation import Prepared, prepared
from harness.techniques.quantize.ort_static import ABOUT, StaticSettings, finish, resolve
from harness.techniques.quantize.static_graph import calibrate, quantized
from harness.techniques.registry import BuildContext, transform

if TYPE_CHECKING:
    import onnx


class MixedQuantize(StaticSettings):
    """As many layers in int8 as the budget allows, checked on the calibration samples."""

    method: Literal["mixed"] = "mixed"
    max_drop: float | None = Field(
        default=0.005,
        ge=0,
        lt=1,
        description="share of calibration samples whose top-1 class may differ from the float graph's",
    )
    min_sqnr_db: float | None = Field(
        default=None, description="minimum signal-to-quantization-noise ratio of the outputs, decibels"
    )
    probe: int = Field(
        default=64, ge=1, description="maximum number of calibration samples on which each layer is measured"
    )

    @model_validator(mode="after")
    def _budget_and_samples(self) -> MixedQuantize:
        if self.max_drop is None and self.min_sqnr_db is None:
            raise ValueError("there is no budget: give max_drop or min_sqnr_db")
        if self.probe > self.calibration.samples and self.probe != type(self).model_fields["probe"].default:
            raise ValueError(
                f"probe: {self.probe} samples, but calibration has {self.calibration.samples}; "
                "allowed: at most that many"
            )
        return self


@transform(
    "quantize",
    MixedQuantize,
    select=("method", "mixed"),
    summary="static int8, the most sensitive layers left in float until a budget is met (ONNX Runtime)",
    **ABOUT,
)
def quantize_mixed(
    config: MixedQuantize, source: Artifact, out: Path, context: BuildContext
) -> dict[str, Any]:
    """Measure each layer alone, then leave as few of the most sensitive in float as the budget allows."""
    refuse_other_axes(context.inputs, "method mixed")
    with prepared(source, config) as given:
        fixed = onnx_graph.fixed_batch(given.model)
        samples = batches(config.calibration, context, fixed)
        resolved = resolve(config, context.target, context.cpu_features)
        search = _Search(config, resolved, given, samples, fixed)
        report(search.graph(), given.model, integer=True)  # fails where no layer can be quantized at all
        layers = search.layers()
        context.say(f"{len(layers)} layers; the most sensitive one: {layers[0].name}")
        model, left, loss = search.fewest_in_float([layer.name for layer in layers])
    return {
        **finish(model, given, samples, config, out, context),
        **loss,
        "sensitivity": [{**layer.content(), "in_float": layer.name in left} for layer in layers],
    }


@dataclass
class _Search:
    """Tries int8 graphs of a prepared model on its calibration samples."""

    config: MixedQuantize
    resolved: dict[str, Any]
    given: Prepared
    samples: list[dict[str, Array]]
    fixed: int | None = None

    def __post_init__(self) -> None:
        self.ranges = calibrate(self.given.path, self.config.calibration, self.samples)
        self.exact = sensitivity.outputs(self.given.path, self.samples)
        if not all(np.isfinite(output).all() for output in self.exact):
            raise BuildError("the float graph's outputs on the calibration samples contain NaN or infinity")
        if self.config.min_sqnr_db is None and sensitivity.disagreement(self.exact, self.exact) is None:
            raise BuildError("max_drop does not apply: the outputs are not classes; give min_sqnr_db")

    def layers(self) -> list[sensitivity.Layer]:
        """Quantize each layer alone; return the layers, the most sensitive first."""
        candidates = sensitivity.candidates(self.given.model)
        found = {name: about for name, about in candidates.items() if name not in self.config.exclude}
        if not found:
            raise BuildError("no layer has constant weights, so none can be left in float: use method static")
        total = known_sum(flops for _, flops in found.values())
        probes, exact = self._probes()
        layers = []
        for name, (operator, flops) in found.items():
            got = self._outputs(self.graph(only=[name]), probes)
            share = flops / total if flops is not None and total else None
            noise = sensitivity.sqnr_db(exact, got)
            layers.append(
                sensitivity.Layer(name, operator, noise, sensitivity.disagreement(exact, got), share)
            )
        return sorted(layers, key=lambda layer: layer.sqnr_db)

    def fewest_in_float(self, by_sensitivity: list[str]) -> tuple[onnx.ModelProto, set[str], dict[str, Any]]:
        """Find, by bisection, how few layers, the most sensitive first, can stay in float within the budget.

        Return the graph, the layers in float, and the loss. Raises BuildError when no layer can be quantized.
        """
        tried: dict[int, dict[str, Any]] = {}

        def is_met(count: int) -> bool:
            if count not in tried:
                tried[count] = self._loss(self.graph(exclude=by_sensitivity[:count]))
            return self._within(tried[count])

        low, high = 0, len(by_sensitivity)
        is_met(0)
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if is_met(middle) else (middle + 1, high)
        if low == len(by_sensitivity):
            words = self._in_words(tried[0])
            raise BuildError(f"no layer can be quantized within the budget; all in int8: {words}")
        left = by_sensitivity[:low]
        everything = {f"all_int8_{name}": value for name, value in tried[0].items()}
        return self.graph(exclude=left), set(left), {**tried[low], **everything, "layers_in_float": low}

    def graph(self, only: list[str] | None = None, exclude: list[str] | None = None) -> onnx.ModelProto:
        """Return the graph in int8: all of it, or `only` these layers, or all but `exclude`."""
        left = sensitivity.with_followers(self.given.model, [*self.config.exclude, *(exclude or ())])
        return quantized(self.given, self.ranges, self.resolved, self.config.per_channel, left, only or ())

    def _outputs(self, graph: onnx.ModelProto, samples: list[dict[str, Array]]) -> sensitivity.Outputs:
        path = onnx_graph.save_model(graph, self.given.path.with_name("tried.onnx"))
        return sensitivity.outputs(path, samples)

    def _loss(self, graph: onnx.ModelProto) -> dict[str, Any]:
        got = self._outputs(graph, self.samples)
        noise = sensitivity.sqnr_db(self.exact, got)
        return {"disagreement": sensitivity.disagreement(self.exact, got), "sqnr_db": min(noise, 999.0)}

    def _within(self, loss: dict[str, Any]) -> bool:
        config, changed = self.config, loss["disagreement"]
        if config.min_sqnr_db is not None and loss["sqnr_db"] < config.min_sqnr_db:
            return False
        return config.max_drop is None or changed is None or changed <= config.max_drop

    def _in_words(self, loss: dict[str, Any]) -> str:
        changed = "" if loss["disagreement"] is None else f"{loss['disagreement']:.2%} of classes changed, "
        return f"{changed}{loss['sqnr_db']:.1f} dB"

    def _probes(self) -> tuple[list[dict[str, Array]], sensitivity.Outputs]:
        """Return the samples to measure layers on, and their exact outputs; a fixed batch is not cut."""
        left, probes = self.config.probe, []
        for batch in self.samples:
            size = len(next(iter(batch.values())))
            taken = size if self.fixed else min(size, left)
            probes.append({name: array[:taken] for name, array in batch.items()})
            left -= taken
            if left <= 0:
                break
        count = sum(len(next(iter(batch.values()))) for batch in probes)
        return probes, [output[:count] for output in self.exact]
