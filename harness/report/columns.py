"""The columns of a leaderboard. A new column is one more entry in the list `COLUMNS`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.analysis.compare.comparison import Comparison
from harness.analysis.records.columns import parsed
from harness.analysis.words import numbers as say
from harness.stats.quantiles import min_calls


@dataclass(frozen=True)
class Column:
    """A column of numbers.

    `kind`: its unit, one of `numbers.step`. `about`: its meaning; ``{call}`` becomes what a timed call is in
    the Group. `more`: whether more is better. Columns with the same `unit_of` use the same unit. `missing`:
    why a value is not known. `speeds`: the meanings of speed (latency, throughput, rate) that show it.
    """

    key: str
    label: str
    kind: str
    about: str
    value: Callable[[Comparison], float | None]
    more: bool = False
    unit_of: str = ""
    missing: Callable[[Comparison], str] = lambda _row: "not measured"
    speeds: tuple[str, ...] = ("latency", "throughput", "rate")


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
    """Return tokens per second at the compared speed; None if samples have no tokens, or queries a rate."""
    tokens, seconds = row.tokens_per_sample, row.seconds_per_sample
    return None if tokens is None or not seconds or row.qps is not None else tokens / seconds


def peak_memory(row: Comparison) -> float | None:
    """Return the highest resident memory of all phases in bytes."""
    return _highest(row.peak_rss_load_bytes, row.peak_rss_first_call_bytes, row.peak_rss_steady_bytes)


def own_memory(row: Comparison) -> float | None:
    """Return the highest memory of all phases above the empty worker, in bytes."""
    return _highest(row.over_empty_load_bytes, row.over_empty_first_call_bytes, row.over_empty_steady_bytes)


def _highest(*phases: float | None) -> float | None:
    return max((peak for peak in phases if peak is not None), default=None)


def too_few(row: Comparison, share: float) -> str:
    """Say why a percentile is not shown; `share` is 0.99 for the 99th."""
    needed, calls = min_calls(share), row.calls or 0
    worth = parsed(row.independent_calls, dict).get(f"p{round(100 * share)}")
    if isinstance(worth, int) and calls >= needed:
        return (
            f"too few independent calls: slow calls come together, so {calls:,} timed calls count as "
            f"{worth:,}, and it needs {needed:,}"
        )
    return f"too few calls: it needs {needed:,} timed calls, this Cell has {calls:,}"


def _percentile(label: str, share: float, about: str, value: Callable[[Comparison], float | None]) -> Column:
    speeds = ("rate",) if share == 0.5 else ("latency", "rate")  # where latency is the speed, it has a column
    return Column(
        *(label, label, "s", about, value),
        unit_of="latency",
        missing=lambda row: too_few(row, share),
        speeds=speeds,
    )


def _inverse(seconds: float | None) -> float | None:
    return 1 / seconds if seconds else None


_PAIRED = (
    ". Baseline: its own Blocks. Other rows: the baseline’s value, changed by their speed-up, which pairs "
    "Blocks; a Cell’s own figures are on its page"
)

SPEEDS = {
    "latency": Column(
        *("latency", "Paired latency", "s", "median Block’s median call ({call})" + _PAIRED),
        value=lambda row: row.seconds_per_call,
        unit_of="latency",
        speeds=("latency",),
    ),
    "throughput": Column(
        *("throughput", "Paired throughput", "samples/s", "samples over the median Block’s time" + _PAIRED),
        value=lambda row: _inverse(row.seconds_per_sample),
        more=True,
        speeds=("throughput",),
    ),
    "rate": Column(
        *("qps", "Paired rate", "queries/s", "highest query rate within the latency bound" + _PAIRED),
        value=lambda row: _inverse(row.seconds_per_call),
        more=True,
        speeds=("rate",),
    ),
}
"""The statistic that speed-ups compare, by what speed means: the baseline’s over a row’s is its speed-up."""

COLUMNS = (
    *SPEEDS.values(),
    Column("tokens", "Tokens", "tokens/s", "tokens per second at this speed", tokens_per_s, more=True),
    _percentile("p50", 0.5, "median of all calls: {call}", lambda row: row.latency_p50_s),
    _percentile("p90", 0.9, "90th percentile of all calls: {call}", lambda row: row.latency_p90_s),
    _percentile("p99", 0.99, "99th percentile of all calls: {call}", lambda row: row.latency_p99_s),
    Column("cold", "Cold start", "s", "from process start to the first output", cold_start),
    Column(
        *(
            "memory",
            "Model memory",
            "bytes",
            "highest resident memory of all phases, minus the empty worker’s",
        ),
        value=own_memory,
    ),
    Column(
        "rss", "Peak RSS", "bytes", "highest resident memory of all phases, libraries included", peak_memory
    ),
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
        "FLOPs per sample × mean throughput of all Blocks, with the time between queries",
        lambda row: row.achieved_flop_per_s,
        more=True,
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
