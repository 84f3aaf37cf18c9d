"""After how many calls a longer build is paid back: only if the Cell is certainly faster."""

from __future__ import annotations

from harness.analysis.compare.comparison import Comparison
from harness.analysis.words import numbers as say


def break_even_calls(row: Comparison) -> float | None:
    """Return the calls after which the build is paid back; None if it never is, or it is unknown."""
    samples = row.break_even_samples
    if samples is None or row.verdict != "faster":
        return None
    return float(samples) / max(row.batch or 1, 1)


def pay_back(row: Comparison) -> str:
    """Return in words after how many calls the longer build is paid back."""
    if row.speedup is None or row.build_s is None:
        return "unknown"
    calls = break_even_calls(row)
    if calls is None:
        return {"inconclusive": "not known to be faster", "equivalent": "no gain seen"}.get(
            row.verdict or "", "never"
        )
    return "at once" if calls < 1 else f"{say.quantity(calls, 'count')} calls"
