"""The leaderboard's columns: data plus one function each, so that a new column is one entry of a list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.analysis.compare.comparison import Comparison
from harness.analysis.words import numbers as say
from harness.stats.quantiles import min_calls


@dataclass(frozen=True)
class Column:
    """A column of numbers: what it is called, in what unit it counts, what it says, and how to get it.

    `about` may hold ``{sample}``, what one timed Sample is; `paced` is said instead where queries come by
    themselves. `kind` is a kind of `wording.step`. `more` says whether more is better. Columns of the same
    `unit_of` are written in the same unit. `missing` says why a value is not there.
    """

    key: str
    label: str
    kind: str
    about: str
    value: Callable[[Comparison], float | None]
    more: bool = False
    unit_of: str = ""
    missing: Callable[[Comparison], str] = lambda _row: "not measured"
    paced: str = ""


@dataclass(frozen=True)
class Scaled:
    """A column's values in one unit, written so that their decimal points stand below each other."""

    unit: str
    texts: list[str | None]


def cold_start(row: Comparison) -> float | None:
    """Start of the process until the first answer: import, load and first call; None if one is unknown."""
    parts = [part for part in (row.import_s, row.load_s, row.first_call_s) if part is not None]
    return sum(parts) if len(parts) == 3 else None


def tokens_per_s(row: Comparison) -> float | None:
    """Tokens answered a second: throughput × tokens of an item; None where items are no tokens."""
    samples, tokens = row.throughput_samples_per_s, row.tokens_per_sample
    return None if samples is None or tokens is None else float(samples * tokens)


def peak_memory(row: Comparison) -> float | None:
    """Highest resident memory of any phase, bytes."""
    phases = (row.peak_rss_load_bytes, row.peak_rss_first_call_bytes, row.peak_rss_steady_bytes)
    return max((peak for peak in phases if peak is not None), default=None)


def too_few(row: Comparison, share: float) -> str:
    """Say why the percentile of this share is not shown."""
    needed = min_calls(share)
    return f"n too small: it needs {needed:,} timed calls, this Cell has {int(row.calls or 0):,}"


def _percentile(label: str, share: float, about: str, value: Callable[[Comparison], float | None]) -> Column:
    return Column(label, label, "s", about, value, unit_of="latency", missing=lambda row: too_few(row, share))


COLUMNS = (
    Column(
        "throughput",
        "Throughput",
        "samples/s",
        "items answered over the Blocks’ time, mean over Trials",
        lambda row: row.throughput_samples_per_s,
        more=True,
        paced="items answered over the Blocks’ time: as many as came, not as many as it could answer",
    ),
    Column(
        "tokens",
        "Tokens",
        "tokens/s",
        "throughput × tokens that one item holds",
        tokens_per_s,
        more=True,
        paced="tokens of the items that came, not as many as it could answer",
    ),
    Column(
        "qps",
        "Queries",
        "queries/s",
        "queries a second: as given, or the highest that holds the latency bound",
        lambda row: row.qps,
        more=True,
    ),
    _percentile("p50", 0.5, "median {sample}", lambda row: row.latency_p50_s),
    _percentile("p90", 0.9, "nine of ten take less: {sample}", lambda row: row.latency_p90_s),
    _percentile("p99", 0.99, "99 of 100 take less: {sample}", lambda row: row.latency_p99_s),
    Column("cold", "Cold start", "s", "start of the process until the first answer", cold_start),
    Column("rss", "Peak RSS", "bytes", "highest resident memory of any phase", peak_memory),
    Column("size", "Size", "bytes", "the Artifact's files on disk", lambda row: row.artifact_bytes),
    Column("build", "Build", "s", "time to build the Artifact, all steps", lambda row: row.build_s),
    Column(
        "flops", "Work", "FLOP", "FLOPs of one item, counted from the graph", lambda row: row.flops_per_sample
    ),
    Column(
        "rate",
        "Achieved",
        "FLOP/s",
        "FLOPs of one item × throughput",
        lambda row: row.achieved_flop_per_s,
        more=True,
        paced="FLOPs of one item × throughput; the time between queries counts too",
    ),
)


def scaled(values: list[float | None], kind: str, unit: tuple[float, str] | None = None) -> Scaled:
    """Write a column's values in one unit, by default the best for them, three significant digits each."""
    factor, name = unit or best_unit(values, kind)
    texts = [None if value is None else say.digits(value / factor) for value in values]
    return Scaled(name, aligned(texts))


def best_unit(values: Sequence[float | None], kind: str) -> tuple[float, str]:
    """Return the unit that suits the middle value, or the next to it that keeps all between 0.01 and 9,999.

    Where no unit can, the largest value decides.
    """
    known = sorted(abs(value) for value in values if value)
    if not known:
        return 1.0, ""
    units = list(say.steps(kind))
    middle = units.index(say.step(known[len(known) // 2], kind))
    fits = [i for i, (f, _) in enumerate(units) if known[0] / f >= 0.0095 and known[-1] / f < 9999.5]
    if fits:
        return units[min(fits, key=lambda index: abs(index - middle))]
    return units[max(middle, units.index(say.step(known[-1], kind)))]


def aligned(texts: list[str | None]) -> list[str | None]:
    """Pad numbers behind with spaces as wide as a digit, so that right-aligned decimal points line up."""
    widths = [_decimals(text) for text in texts if text is not None]
    most = max(widths, default=0)
    return [None if text is None else text + _padding(most, _decimals(text)) for text in texts]


def _decimals(text: str) -> int:
    return len(text.partition(".")[2])


def _padding(most: int, have: int) -> str:
    figure, point = "\N{FIGURE SPACE}", "\N{PUNCTUATION SPACE}"
    return figure * (most - have) + (point if most and not have else "")
