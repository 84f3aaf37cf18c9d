"""The columns of a leaderboard. A new column is one more entry in the list `COLUMNS`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.analysis.compare.comparison import Comparison
from harness.analysis.words import numbers as say
from harness.stats.quantiles import min_calls


@dataclass(frozen=True)
class Column:
    """A column of numbers.

    `kind`: its unit, one of `numbers.step`. `about`: its meaning; ``{call}`` becomes what a timed call is in
    the Group. `paced` replaces `about` if the scenario sends queries on a schedule. `more`: whether more is
    better. Columns with the same `unit_of` use the same unit. `missing`: why a value is not known.
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
    """The values of a column in one unit, padded so that the decimal points are aligned."""

    unit: str
    texts: list[str | None]


def cold_start(row: Comparison) -> float | None:
    """Return the time from process start to the first output in seconds; None if a part is unknown."""
    parts = [part for part in (row.import_s, row.load_s, row.first_call_s) if part is not None]
    return sum(parts) if len(parts) == 3 else None


def tokens_per_s(row: Comparison) -> float | None:
    """Return throughput × tokens per sample; None if samples have no tokens."""
    samples, tokens = row.throughput_samples_per_s, row.tokens_per_sample
    return None if samples is None or tokens is None else float(samples * tokens)


def peak_memory(row: Comparison) -> float | None:
    """Return the highest resident memory of all phases in bytes."""
    phases = (row.peak_rss_load_bytes, row.peak_rss_first_call_bytes, row.peak_rss_steady_bytes)
    return max((peak for peak in phases if peak is not None), default=None)


def too_few(row: Comparison, share: float) -> str:
    """Say why a percentile is not shown; `share` is 0.99 for the 99th."""
    needed = min_calls(share)
    return f"too few calls: it needs {needed:,} timed calls, this Cell has {row.calls or 0:,}"


def _percentile(label: str, share: float, about: str, value: Callable[[Comparison], float | None]) -> Column:
    return Column(label, label, "s", about, value, unit_of="latency", missing=lambda row: too_few(row, share))


COLUMNS = (
    Column(
        "throughput",
        "Throughput",
        "samples/s",
        "samples over the Blocks’ time, mean over Trials",
        lambda row: row.throughput_samples_per_s,
        more=True,
        paced="samples over the Blocks’ time: limited by the query rate, not the maximum",
    ),
    Column(
        "tokens",
        "Tokens",
        "tokens/s",
        "throughput × tokens per sample",
        tokens_per_s,
        more=True,
        paced="throughput × tokens per sample: limited by the query rate, not the maximum",
    ),
    Column(
        "qps",
        "Queries",
        "queries/s",
        "query rate: as given, or the highest that held the latency bound",
        lambda row: row.qps,
        more=True,
    ),
    _percentile("p50", 0.5, "median: {call}", lambda row: row.latency_p50_s),
    _percentile("p90", 0.9, "90th percentile: {call}", lambda row: row.latency_p90_s),
    _percentile("p99", 0.99, "99th percentile: {call}", lambda row: row.latency_p99_s),
    Column("cold", "Cold start", "s", "from process start to the first output", cold_start),
    Column("rss", "Peak RSS", "bytes", "highest resident memory of all phases", peak_memory),
    Column("size", "Size", "bytes", "size of the Artifact’s files", lambda row: row.artifact_bytes),
    Column(
        "compressed",
        "Compressed",
        "bytes",
        "size of the Artifact’s files, each compressed with zstd at level 3",
        lambda row: row.artifact_zstd_bytes,
        more=True,
    ),
    Column("build", "Build", "s", "time of all build steps", lambda row: row.build_s),
    Column(
        "flops", "Work", "FLOP", "FLOPs per sample, counted from the graph", lambda row: row.flops_per_sample
    ),
    Column(
        "rate",
        "Achieved",
        "FLOP/s",
        "FLOPs per sample × throughput",
        lambda row: row.achieved_flop_per_s,
        more=True,
        paced="FLOPs per sample × throughput; includes the time between queries",
    ),
)


def scaled(values: list[float | None], kind: str, unit: tuple[float, str] | None = None) -> Scaled:
    """Write values in one unit (by default the most suitable one), with three significant digits each."""
    factor, name = unit or best_unit(values, kind)
    texts = [None if value is None else say.digits(value / factor) for value in values]
    return Scaled(name, aligned(texts))


def best_unit(values: Sequence[float | None], kind: str) -> tuple[float, str]:
    """Return the unit closest to the median value that keeps all values between 0.01 and 9,999.

    If no unit can, the largest value decides.
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
    """Append spaces as wide as a digit, so that the decimal points of right-aligned numbers line up."""
    widths = [_decimals(text) for text in texts if text is not None]
    most = max(widths, default=0)
    return [None if text is None else text + _padding(most, _decimals(text)) for text in texts]


def _decimals(text: str) -> int:
    return len(text.partition(".")[2])


def _padding(most: int, have: int) -> str:
    figure, point = "\N{FIGURE SPACE}", "\N{PUNCTUATION SPACE}"
    return figure * (most - have) + (point if most and not have else "")
