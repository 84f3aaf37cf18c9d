"""Which integers are safe on this processor, and quiet for the quantizer's hints."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any, Literal, Protocol

from harness.formats.target import Target

# Dot products of 8-bit integers that sum into 32 bits. Without one of these, x86 multiplies u8 by s8 with
# VPMADDUBSW, whose 16-bit pair sums saturate: 255·127 + 255·127 = 64,770 > 32,767 (Intel SDM, PMADDUBSW).
# With weights in 7 bits they cannot: 255·64 + 255·64 = 32,640.
SAFE_DOT_PRODUCTS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"})
ARM = frozenset({"asimd", "asimddp"})

Types = Literal["u8s8", "s8s8"]


class RangeSettings(Protocol):
    """Settings whose `auto` follows the machine."""

    @property
    def reduce_range(self) -> bool | Literal["auto"]:
        """Weights in 7 bits."""
        ...


def needs_reduced_range(target: Target, cpu_features: frozenset[str]) -> bool:
    """Whether 8-bit weights could saturate here, so that 7 bits are the right default."""
    return target.device == "cpu" and not (SAFE_DOT_PRODUCTS & cpu_features)


def resolve_range(config: RangeSettings, target: Target, cpu_features: frozenset[str]) -> dict[str, Any]:
    """Return what `reduce_range` comes to on this machine: goes into the Artifact's address."""
    auto = config.reduce_range == "auto"
    return {"reduce_range": needs_reduced_range(target, cpu_features) if auto else config.reduce_range}


def resolve_types(types: Types | Literal["auto"], cpu_features: frozenset[str]) -> Types:
    """Return the types of activations and weights: Arm's kernels are made for signed activations."""
    if types != "auto":
        return types
    return "s8s8" if ARM & cpu_features else "u8s8"


def weights_in_words(config: RangeSettings, reduced: bool, target: Target, features: frozenset[str]) -> str:
    """Say how wide weights are, and why where this machine decided it."""
    unsafe = needs_reduced_range(target, features)
    if reduced and config.reduce_range == "auto":
        return "weights in 7 bits: without a dot product such as VNNI, 8-bit products can saturate here"
    if not reduced and unsafe:
        return "weights in 8 bits, as asked for: products can saturate here"
    return "weights in 7 bits, as asked for" if reduced else "weights in 8 bits"


@contextlib.contextmanager
def quiet_quantizer() -> Iterator[None]:
    """Drop the quantizer's advice to pre-process, which the exporter has done already."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
