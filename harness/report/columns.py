"""The leaderboard's columns: data plus one function each, so that a new column is one entry of a list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.analysis import wording as say
from harness.analysis.frames import Row
from harness.stats.quantiles import min_samples

PERCENTILES = {"latency_p50_s": 0.5, "latency_p90_s": 0.9, "latency_p99_s": 0.99}


@dataclass(frozen=True)
class Column:
    """A column of numbers: what it is called, in what unit it counts, what it says, and how to get it.

    `kind` is a kind of `wording.step`. `more` says whether more is better. `missing` says why a value is
    not there.
    """

    key: str
    label: str
    kind: str
    about: str
    value: Callable[[Row], float | None]
    more: bool = False
    missing: Callable[[Row], str] = lambda _row: "not measured"


@dataclass(frozen=True)
class Scaled:
    """A column's values in one unit, written so that their decimal points stand below each other."""

    unit: str
    texts: list[str | None]


def cold_start(row: Row) -> float | None:
    """Start of the process until the first answer: import, load and first call; None if one is unknown."""
    parts = [row["import_s"], row["load_s"], row["first_call_s"]]
    return None if None in parts else float(sum(parts))


def peak_memory(row: Row) -> float | None:
    """Highest resident memory of any phase, bytes."""
    names = ("peak_rss_load_bytes", "peak_rss_first_call_bytes", "peak_rss_steady_bytes")
    known = [row[name] for name in names if row[name] is not None]
    return float(max(known)) if known else None


def too_few(row: Row, column: str) -> str:
    """Say why a percentile is not shown."""
    needed = min_samples(PERCENTILES[column])
    return f"n too small: it needs {needed:,} timed calls, this Cell has {int(row['samples'] or 0):,}"


def _plain(column: str) -> Callable[[Row], float | None]:
    return lambda row: row[column]


def _percentile(column: str, label: str, about: str) -> Column:
    return Column(
        column.removesuffix("_s").removeprefix("latency_"),
        label,
        "s",
        about,
        _plain(column),
        missing=lambda row: too_few(row, column),
    )


COLUMNS = (
    Column(
        "throughput",
        "Throughput",
        "items/s",
        "items answered in all Blocks over the Blocks' time",
        _plain("throughput_items_per_s"),
        more=True,
    ),
    _percentile("latency_p50_s", "p50", "median time of one call"),
    _percentile("latency_p90_s", "p90", "nine of ten calls are faster"),
    _percentile("latency_p99_s", "p99", "99 of 100 calls are faster"),
    Column("cold", "Cold start", "s", "start of the process until the first answer", cold_start),
    Column("rss", "Peak RSS", "bytes", "highest resident memory of any phase", peak_memory),
    Column("size", "Size", "bytes", "the Artifact's files on disk", _plain("artifact_bytes")),
    Column("build", "Build", "s", "time to build the Artifact, all steps", _plain("build_s")),
    Column("flops", "Work", "FLOP", "FLOPs of one item, counted from the graph", _plain("flops_per_item")),
    Column(
        "rate",
        "Achieved",
        "FLOP/s",
        "FLOPs of one item × throughput",
        _plain("achieved_flop_per_s"),
        more=True,
    ),
)


def scaled(values: list[float | None], kind: str) -> Scaled:
    """Write a column's values in the unit that suits their middle, three significant digits each."""
    known = sorted(abs(value) for value in values if value)
    factor, unit = say.step(known[len(known) // 2], kind) if known else (1.0, "")
    if known and known[-1] / factor >= 9999.5:  # the middle is small, the largest would need five digits
        factor, unit = say.step(known[-1], kind)
    texts = [None if value is None else say.digits(value / factor) for value in values]
    return Scaled(unit, aligned(texts))


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
