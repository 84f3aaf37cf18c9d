"""Weight compression for OpenVINO by NNCF: weights stored in 8 or 4 bits, computation in float."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from harness.artifacts.artifact import Artifact
from harness.errors import BuildError
from harness.techniques.blame import Excluding
from harness.techniques.quantize.calibration import cut, draw_samples
from harness.techniques.quantize.nncf_static import (
    IR,
    NncfCalibration,
    by_nncf,
    fixed_batch,
    load_nncf,
    read_folded,
    save_reported,
)
from harness.techniques.registry import BuildContext, transform


class NncfWeights(Excluding):
    """8 bits: one scale per output channel; 4 bits: one scale per `group_size` weights of its inputs."""

    method: Literal["nncf-weights"] = "nncf-weights"
    dtype: Literal["int8_sym", "int8_asym", "int4_sym", "int4_asym"] = "int8_asym"
    group_size: int = Field(
        default=128, ge=-1, description="4 bits: weights that share a scale; -1: a whole output channel"
    )
    ratio: float = Field(
        default=1.0, gt=0, le=1, description="4 bits: share of the weights; others get 8 bits"
    )
    all_layers: bool = Field(default=False, description="4 bits: embeddings and the last layer as well")
    awq: bool = Field(default=False, description="4 bits: scale salient channels up (AWQ), on training data")
    scale_estimation: bool = Field(default=False, description="4 bits: scales that fit the training data")
    calibration: NncfCalibration = Field(
        default=NncfCalibration(samples=128, batch=1), description="samples for awq and scale_estimation"
    )

    @model_validator(mode="after")
    def _only_used_settings(self) -> NncfWeights:
        fields = type(self).model_fields
        names = ("all_layers", "awq", "group_size", "ratio", "scale_estimation")
        four = [name for name in names if getattr(self, name) != fields[name].default]
        if self.dtype.startswith("int8") and four:
            raise ValueError(f"{', '.join(four)}: for int4_sym and int4_asym, not for {self.dtype}")
        if not self.reads_data and self.calibration != fields["calibration"].default:
            raise ValueError("calibration: for awq and scale_estimation, neither of which is set")
        if self.group_size == 0:
            raise ValueError("group_size: 0; allowed: -1, or 1 and more")
        return self

    @property
    def reads_data(self) -> bool:
        """Whether the step reads training data."""
        return self.awq or self.scale_estimation


@transform(
    "quantize",
    NncfWeights,
    select=("method", "nncf-weights"),
    summary="int8 or int4 weights, computation in float, by NNCF (OpenVINO)",
    needs_training_data=lambda config: config.reads_data,
    **IR,
)
def compress_weights(
    config: NncfWeights, source: Artifact, out: Path, context: BuildContext
) -> dict[str, Any]:
    """Compress, and report what was compressed."""
    model = read_folded(source, config.exclude)
    with by_nncf(model):
        compressed = _compressed(
            model, config, _four_bits(config, fixed_batch(model, context.inputs), context)
        )
    if config.dtype.startswith("int4") and not any(
        node.get_element_type().bitwidth == 4 for node in compressed.get_ops() if node.get_output_size() == 1
    ):
        raise BuildError(
            "no layer would be in 4 bits: embeddings and the last layer stay in 8 (all_layers: true includes "
            f"them), and so do layers beyond the ratio of {config.ratio}"
        )
    return save_reported(compressed, source, out)


def _compressed(model: Any, config: NncfWeights, settings: dict[str, Any]) -> Any:
    nncf = load_nncf()
    mode, scope = nncf.CompressWeightsMode(config.dtype), nncf.IgnoredScope(names=list(config.exclude))
    try:
        return nncf.compress_weights(model, mode=mode, ignored_scope=scope, **settings)
    except nncf.InvalidGroupSizeError as error:
        raise BuildError(
            f"group_size {config.group_size} does not divide these layers' inputs; use one that does, or -1: "
            + " ".join(str(error).partition("Failed nodes:")[2].split())
        ) from error


def _four_bits(config: NncfWeights, fixed: int | None, context: BuildContext) -> dict[str, Any]:
    """Return the settings that NNCF takes with 4 bits only."""
    if not config.dtype.startswith("int4"):
        return {}
    settings: dict[str, Any] = {
        "group_size": config.group_size,
        "ratio": config.ratio,
        "all_layers": config.all_layers,
    }
    if config.reads_data:
        (data,) = draw_samples(context, calibration=config.calibration.samples)
        parts = cut(data, config.calibration.batch, fixed)
        settings |= {
            "dataset": load_nncf().Dataset(parts),
            "subset_size": len(parts),
            "awq": config.awq,
            "scale_estimation": config.scale_estimation,
        }
    return settings
