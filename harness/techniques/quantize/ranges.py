"""Which integer range is safe on this processor, and quiet for the quantizer's hints."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from harness.techniques.registry import BuildContext

# Dot products of 8-bit integers that sum into 32 bits. Without one of these, x86 multiplies u8 by s8 with
# VPMADDUBSW, whose 16-bit pair sums saturate: 255·127 + 255·127 = 64,770 > 32,767 (Intel SDM, PMADDUBSW).
SAFE_DOT_PRODUCTS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"})


def needs_reduced_range(context: BuildContext) -> bool:
    """Whether 8-bit weights could saturate here, so that 7 bits are the right default."""
    return context.target.device == "cpu" and not (SAFE_DOT_PRODUCTS & context.cpu_features)


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
