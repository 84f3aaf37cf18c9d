"""Numbers as text: three significant digits, a unit, a minus sign."""

from __future__ import annotations

import math

from harness.analysis.compare.comparison import Comparison
from harness.store.record import Record
from harness.units import POINTS

MINUS = "\N{MINUS SIGN}"
MAX_WIDTH, TOO_WIDE = 4.0, "too wide"
"""An interval that holds 1 and whose ends differ by more than this factor is not written out."""

_STEPS = {
    "s": ((1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms"), (1.0, "s")),
    "bytes": ((1.0, "B"), (1e3, "kB"), (1e6, "MB"), (1e9, "GB"), (1e12, "TB")),
    "tokens/s": ((1.0, "tokens/s"), (1e3, "k tokens/s"), (1e6, "M tokens/s")),
    "samples/s": ((1.0, "samples/s"), (1e3, "k samples/s"), (1e6, "M samples/s")),
    "queries/s": ((1.0, "queries/s"), (1e3, "k queries/s"), (1e6, "M queries/s")),
    "FLOP": ((1.0, "FLOP"), (1e3, "kFLOP"), (1e6, "MFLOP"), (1e9, "GFLOP"), (1e12, "TFLOP")),
    "FLOP/s": ((1.0, "FLOP/s"), (1e6, "MFLOP/s"), (1e9, "GFLOP/s"), (1e12, "TFLOP/s")),
    "count": ((1.0, ""), (1e3, "k"), (1e6, "M"), (1e9, "G")),
}


def step(value: float, kind: str) -> tuple[float, str]:
    """Return the factor and name of the unit that suits a magnitude: 0.002 s → (0.001, ms)."""
    steps = _STEPS[kind]
    fitting = [pair for pair in steps if abs(value) >= pair[0] * 0.9995]
    return fitting[-1] if fitting else steps[0]


def steps(kind: str) -> tuple[tuple[float, str], ...]:
    """Return all units of a kind, smallest first, as factor and name."""
    return _STEPS[kind]


def digits(value: float, significant: int = 3, most: int = 3) -> str:
    """Return a number without exponent: 1234.5 → 1,234; 0.01234 → 0.012 with at most 3 decimals."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{significant - 1}e}")  # 9.996 becomes 10.0, not 10.00
    decimals = significant - 1 - math.floor(math.log10(abs(rounded)))
    decimals = min(max(decimals, 0), most)
    return f"{value:,.{decimals}f}".replace("-", MINUS)


def quantity(value: float | None, kind: str, unknown: str = "–") -> str:
    """Return a value with its unit: 0.00213 (s) → 2.13 ms; `unknown` where there is none."""
    if value is None:
        return unknown
    if kind == "count" and abs(value) < 999.5:
        return f"{value:.0f}"
    unit, name = step(value, kind)
    return f"{digits(value / unit)} {name}".rstrip()


def factor(ratio: float | None) -> str:
    """Return a speed-up's number: 12.3, 3.12, 0.934; below 0.01 and from a million as a power of ten.

    A dash where there is none.
    """
    if ratio is None:
        return "–"
    if 0.01 <= ratio < 999_999.5:
        return digits(ratio)
    return f"{ratio:.1e}" if math.isfinite(ratio) else "∞"


def factors(low: float | None, high: float | None) -> str:
    """Return an interval of ratios with enough decimals that its ends differ: 2.87–2.95.

    One that says neither faster nor slower, nor how much at most, is "too wide".
    """
    if low is None or high is None or not (low > 0 and math.isfinite(high)):
        return "unknown"
    return TOO_WIDE if low <= 1 <= high and high / low > MAX_WIDTH else "–".join(_alike(low, high))


def percent(share: float) -> str:
    """Return a share: 0.982 → 98.2 %; 0.26 → 26 %; 1 → 100 %."""
    value = 100 * share
    decimals = 1 if abs(value) < 10 or 90 < abs(value) < 100 else 0
    return f"{value:.{decimals}f} %".replace("-", MINUS)


def score(value: float | None, unit: str) -> str:
    """Return a quality: as a percentage with two decimals where its drop counts in points."""
    if value is None:
        return "–"
    return f"{100 * value:.2f} %" if unit == POINTS else f"{digits(value, 4, 4)} {unit}".rstrip()


def unit_word(unit: str | None) -> str:
    """Return the unit of a change in quality as a word: pt → points; bits stay bits."""
    return "points" if unit == POINTS else unit or ""


def change(record: Record, loss: float | None) -> float | None:
    """Return the change of a Record's metric for a quality loss: negative unless less is better."""
    if loss is None:
        return None
    return (loss if record.quality_higher_is_better is False else -loss) + 0.0


def change_text(record: Record, loss: float | None) -> str:
    """Return that change as signed text: two decimals for points, four for others; empty if unknown."""
    value = change(record, loss)
    return "" if value is None else signed(value, 2 if record.quality_unit == POINTS else 4)


def change_words(row: Comparison) -> str:
    """Return a quality change with its unit or its metric: −0.04 points, +0.0123 bits, −0.0051 cosine."""
    unit = unit_word(row.quality_unit) or row.quality_metric or ""
    return f"{change_text(row, row.quality_loss)} {unit}".rstrip()


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
        known = {"inconclusive": "not known to be faster", "equivalent": "no gain seen"}
        return known.get(row.verdict or "", "never")
    return "at once" if calls < 1 else f"{quantity(calls, 'count')} calls"


def signed(value: float, decimals: int = 2) -> str:
    """Return a change: −0.04, +0.10, ±0.00."""
    if round(value, decimals) == 0:
        return f"±{0:.{decimals}f}"
    return f"{value:+.{decimals}f}".replace("-", MINUS)


def points(value: float, unit: str) -> str:
    """Return an amount of quality in words: 0.5 → 0.5 points; 1 → 1 point."""
    number = f"{value:g}"
    if unit == POINTS:
        return f"{number} point" if value == 1 else f"{number} points"
    return f"{number} {unit}".rstrip()


def short(text: str, most: int) -> str:
    """Shorten a long name in its middle: names mostly differ at their ends."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    if len(plain) <= most:
        return plain
    head = (most - 1) // 2 + (most - 1) % 2
    return f"{plain[:head]}…{plain[len(plain) - (most - 1 - head) :]}"


def _alike(low: float, high: float) -> tuple[str, str]:
    """Return both ends with the same decimals: those of three significant digits of the low end, or more if
    the ends would look equal (at most three). Ends far apart get three digits each.
    """
    if high / low > 1.6:
        return factor(low), factor(high)
    decimals = min(max(2 - math.floor(math.log10(low)), 0), 3)
    while decimals < 3 and f"{low:.{decimals}f}" == f"{high:.{decimals}f}":
        decimals += 1
    return f"{low:,.{decimals}f}", f"{high:,.{decimals}f}"
