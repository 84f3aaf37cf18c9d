"""The machine's peaks in words: what other dtypes can gain over float32 here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.analysis.records.roofline import FLOAT, Peaks
from harness.analysis.words import numbers as say
from harness.units import say_count


def types_in_words(shares: Mapping[str, float]) -> str:
    """Return dtypes with their shares: ``int8``, or ``97.0 % int8 and 3.0 % float32``."""
    if len(shares) == 1:
        return next(iter(shares))
    ordered = sorted(shares.items(), key=lambda pair: -pair[1])
    return " and ".join(f"{say.percent(share)} {kind}" for kind, share in ordered)


def product_ratios(peaks: Peaks) -> dict[str, str]:
    """Return each other dtype's peak over float32's, with its compute dtype; empty without float32."""
    rates = {rate["dtype"]: rate for rate in peaks["rates"]}
    base = rates.pop(FLOAT, None)
    if base is None:
        return {}
    return {
        kind: f"{say.factor(rate['flop_per_s'] / base['flop_per_s'])} ×{_widened(rate)}"
        for kind, rate in rates.items()
    }


def vector_ratios(peaks: Peaks) -> dict[str, float]:
    """Return how many times as many weights per second as in float32 a product with one row reads."""
    passed = {
        rate["dtype"]: rate["weight_bytes_per_s"] * 8 / rate["weight_bits"]
        for rate in peaks["rates"]
        if rate.get("weight_bytes_per_s")
    }
    base = passed.pop(FLOAT, None)
    return {kind: rate / base for kind, rate in passed.items()} if base else {}


def vectors_in_words(ratios: Mapping[str, float]) -> str:
    """Return those ratios in words: one second is enough for 3.10 × as many int8 weights as float32 ones."""
    *most, last = [f"{say.factor(ratio)} × as many {kind}" for kind, ratio in ratios.items()]
    listed = f"{', '.join(most)} and {last}" if most else last
    return f"one second is enough for {listed} weights as float32 ones"


def machine_in_words(peaks: Peaks) -> list[str]:
    """Return sentences on what fewer bits can gain at most on this machine, for one thread budget."""
    told = []
    budget = say_count(peaks["threads"], "thread")
    if products := product_ratios(peaks):
        listed = ", ".join(f"{kind} {text}" for kind, text in products.items())
        told.append(f"Peak FLOP/s of this processor relative to float32, measured with {budget}: {listed}.")
    if vectors := vector_ratios(peaks):
        told.append(
            "With one sample per call, dense layers spend their time reading weights from memory: "
            f"{vectors_in_words(vectors)}."
        )
    return told


def _widened(rate: Mapping[str, Any]) -> str:
    compute_dtype = rate.get("compute_dtype") or rate["dtype"]
    return "" if compute_dtype == rate["dtype"] else f" (computed in {compute_dtype})"
