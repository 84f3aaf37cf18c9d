"""Which integers are safe on this processor."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Protocol

from pydantic import Field

from harness.formats.target import Target
from harness.techniques.registry import BuildContext

# Dot products of 8-bit integers that sum into 32 bits. Without one of these, x86 multiplies u8 by s8 with
# VPMADDUBSW, whose 16-bit pair sums saturate: 255·127 + 255·127 = 64,770 > 32,767 (Intel SDM, PMADDUBSW).
# With weights in 7 bits they cannot: 255·64 + 255·64 = 32,640.
SAFE_DOT_PRODUCTS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"})
ARM = frozenset({"asimd", "asimddp"})

Types = Literal["u8s8", "s8s8"]
ReducedWeights = Annotated[
    bool | Literal["auto"],
    Field(description="7-bit weights; auto: where the CPU's 16-bit sums could saturate"),
]


class RangeSettings(Protocol):
    """Settings whose `auto` depends on the machine."""

    @property
    def reduce_range(self) -> bool | Literal["auto"]:
        """Use 7 bits instead of 8."""
        ...


def needs_reduced_range(target: Target, cpu_features: frozenset[str]) -> bool:
    """Whether 8-bit weights could saturate on this machine, so that 7 bits are the default."""
    return target.device == "cpu" and not (SAFE_DOT_PRODUCTS & cpu_features)


def resolve_range(config: RangeSettings, target: Target, cpu_features: frozenset[str]) -> dict[str, Any]:
    """Return the value of `reduce_range` on this machine, which is part of the Artifact's cache key."""
    auto = config.reduce_range == "auto"
    return {"reduce_range": needs_reduced_range(target, cpu_features) if auto else config.reduce_range}


def is_reduced(config: RangeSettings, context: BuildContext) -> bool:
    """Return the value of `reduce_range` for this build."""
    return bool(resolve_range(config, context.target, context.cpu_features)["reduce_range"])


def resolve_types(types: Types | Literal["auto"], cpu_features: frozenset[str]) -> Types:
    """Return the dtypes of activations and weights: Arm's kernels are made for signed activations."""
    if types != "auto":
        return types
    return "s8s8" if ARM & cpu_features else "u8s8"


def weights_in_words(config: RangeSettings, context: BuildContext) -> str:
    """Describe the width of weights, and why where this machine decided it."""
    reduced = is_reduced(config, context)
    if reduced and config.reduce_range == "auto":
        return "weights in 7 bits: without a dot product such as VNNI, 8-bit products can saturate here"
    if not reduced and needs_reduced_range(context.target, context.cpu_features):
        return "weights in 8 bits, as requested: products can saturate here"
    return "weights in 7 bits, as requested" if reduced else "weights in 8 bits"
