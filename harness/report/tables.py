"""The table of a leaderboard: headers with units, and rows of texts with the values to sort by."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.analysis.compare.comparison import Comparison
from harness.analysis.compare.leaderboard import Board
from harness.analysis.words import headline
from harness.analysis.words import numbers as say
from harness.report.columns import COLUMNS, aligned, best_unit, scaled
from harness.report.drawing.palette import Family, family_of
from harness.store.info import GroupInfo
from harness.units import POINTS, say_count

VERDICTS = {
    "faster": ("▲", "faster", "faster than the baseline, by more than the noise"),
    "slower": ("▼", "slower", "slower than the baseline, by more than the noise"),
    "equivalent": (
        "=",
        "equivalent",
        "as fast as the baseline: the interval lies within the target CI or the noise floor",
    ),
    "inconclusive": (
        "?",
        "inconclusive",
        "the data do not show a difference to the baseline; more Trials may",
    ),
    "baseline": ("◦", "baseline", "the other Cells are compared with it"),
}
"""Sign, word and meaning of each Verdict. The sign makes it readable without color."""


@dataclass(frozen=True)
class Head:
    """A column's header. `first`: the sort direction of the first click."""

    key: str
    label: str
    unit: str
    about: str
    first: str


@dataclass(frozen=True)
class Value:
    """A table cell: text (None if missing; `note` has the reason), value to sort by, interval."""

    key: str
    label: str
    text: str | None
    sort: float | None
    note: str = ""
    interval: str = ""


@dataclass(frozen=True)
class Span:
    """A speed-up's bar in percent of the track: from `one` (the baseline) to `at`; interval; noise floor."""

    one: float
    at: float
    low: float
    high: float
    floor_low: float
    floor_high: float


@dataclass(frozen=True)
class Line:
    """One row of a leaderboard."""

    record: Comparison
    family: Family
    best: bool
    smallest: bool
    speedup: str
    interval: str
    counted: str
    verdict: tuple[str, str, str] | None
    span: Span | None
    quality: Value
    change: Value
    values: tuple[Value, ...]

    @property
    def build(self) -> str:
        """Return the build time with its unit; empty if unknown."""
        return say.quantity(self.record.build_s, "s", "")


@dataclass(frozen=True)
class Table:
    """A Group's leaderboard, fastest first."""

    heads: tuple[Head, ...]
    lines: tuple[Line, ...]


def table(board: Board) -> Table:
    """Return the table of a Group's leaderboard."""
    rows = board.rows
    heads, columns = _columns(rows, board.group)
    values = list(zip(*columns, strict=True)) if columns else [()] * len(rows)
    spans, changes, qualities = _spans(rows), _changes(rows, board.unit), _qualities(rows, board.unit)
    lines = [
        Line(
            row,
            family_of(row.families, row.arm),
            row.cell_id == board.best,
            row.cell_id == board.smallest,
            speedup_text(row),
            interval_text(row),
            _counted(row),
            VERDICTS.get(row.verdict or ""),
            spans[index],
            qualities[index],
            changes[index],
            tuple(values[index]),
        )
        for index, row in enumerate(rows)
    ]
    return Table(tuple(heads), tuple(lines))


def _columns(rows: Sequence[Comparison], group: GroupInfo) -> tuple[list[Head], list[list[Value]]]:
    """Return headers and columns of numbers, without empty columns; percentiles always stay."""
    heads, columns, units = [], [], _shared_units(rows)
    for column in COLUMNS:
        if headline.speed_of(group) not in column.speeds:
            continue
        numbers = [column.value(row) for row in rows]
        if all(number is None for number in numbers) and not column.unit_of:
            continue
        written = scaled(numbers, column.kind, units.get(column.unit_of))
        label = f"{column.label}, {written.unit}" if written.unit else column.label
        first = "descending" if column.more else "ascending"
        about = column.about.format(call=headline.call_of(group))
        heads.append(Head(column.key, column.label, written.unit, about, first))
        columns.append(
            [
                Value(column.key, label, text, number, "" if text else column.missing(row))
                for row, number, text in zip(rows, numbers, written.texts, strict=True)
            ]
        )
    return heads, columns


def _shared_units(rows: Sequence[Comparison]) -> dict[str, tuple[float, str]]:
    """Return the units of columns that share one unit."""
    shared = {column.unit_of: column.kind for column in COLUMNS if column.unit_of}
    return {
        name: best_unit(
            [column.value(row) for column in COLUMNS if column.unit_of == name for row in rows], kind
        )
        for name, kind in shared.items()
    }


def counted_text(row: Comparison) -> str:
    """Return the Trials and Blocks behind a speed-up, as 4/16; empty if unknown."""
    return "" if row.speedup_trials is None else f"{row.speedup_trials}/{row.speedup_blocks or 0}"


def _counted(row: Comparison) -> str:
    """Return those Trials and Blocks in words, and among how many Cells the winner was chosen."""
    if row.speedup_trials is None:
        return ""
    text = f"{say_count(row.speedup_trials, 'Trial')}, {say_count(row.speedup_blocks or 0, 'Block')}"
    among = row.winner_candidates or 1
    return f"{text}, adjusted as the best of {among}" if among > 1 else text


def speedup_text(row: Comparison) -> str:
    """Return a speed-up's number: 1 for the baseline, empty if unknown."""
    if row.speedup is None:
        return ""
    return "1" if row.arm == "baseline" else say.factor(row.speedup)


def interval_text(row: Comparison) -> str:
    """Return the 95 % interval of a speed-up; empty for the baseline and if unknown."""
    if row.speedup is None or row.arm == "baseline":
        return ""
    return say.factors(*row.interval)


def _change_interval(row: Comparison) -> str:
    if row.quality_loss_low is None or row.quality_loss_high is None or row.arm == "baseline":
        return ""
    ends = sorted((row.quality_loss_low, row.quality_loss_high), key=lambda end: say.change(row, end) or 0.0)
    return " … ".join(say.change_text(row, end) for end in ends)


def _changes(rows: Sequence[Comparison], unit: str) -> list[Value]:
    texts = aligned([say.change_text(row, row.quality_loss) or None for row in rows])
    label = f"Change, {say.unit_word(unit) or 'score'}"
    sorts = [None if row.quality_loss is None else -row.quality_loss for row in rows]
    return [
        Value("change", label, text, by, "" if text else "no paired scores", _change_interval(row))
        for row, text, by in zip(rows, texts, sorts, strict=True)
    ]


def _qualities(rows: Sequence[Comparison], unit: str) -> list[Value]:
    found = []
    for row in rows:
        text = None if row.quality is None else say.score(row.quality, unit)
        invalid = "some of its scores are NaN or infinite"
        note, interval = invalid if row.quality_metric else "quality was not measured", ""
        if text is not None and row.quality_low is not None and row.quality_high is not None:
            low, high = say.score(row.quality_low, unit), say.score(row.quality_high, unit)
            kind = "random samples" if row.random_samples else "samples"
            note = f"95 % interval {low} to {high}, {int(row.evaluation_samples or 0):,} {kind}"
            mark = f" {'%' if unit == POINTS else unit}"
            interval = f"{low.removesuffix(mark)}–{high.removesuffix(mark)}"
        found.append(Value("quality", "Quality", text, row.quality, note, interval))
    return found


def _spans(rows: Sequence[Comparison]) -> list[Span | None]:
    """Place all speed-ups of the Group on one logarithmic track, with the baseline."""
    known = [row.speedup for row in rows if row.speedup]
    ends = [end for row in rows for end in row.interval if end]
    if not known:
        return [None] * len(rows)
    # A very wide interval must not squeeze the others: ends count up to twice the estimates.
    low = max(min([*known, *ends, 1.0]), min([*known, 1.0]) / 2)
    high = min(max([*known, *ends, 1.0]), max([*known, 1.0]) * 2)
    start, width = math.log(low), max(math.log(high / low), math.log(1.1))

    def at(value: float | None) -> float:
        share = (math.log(value) - start) / width if value and value > 0 else 0.0
        return round(4 + 92 * min(max(share, 0.0), 1.0), 2)

    return [_span(row, at) if row.speedup else None for row in rows]


def _span(row: Comparison, at: Callable[[float | None], float]) -> Span:
    floor, (low, high) = 1 + (row.floor or 0.0), row.interval
    return Span(at(1.0), at(row.speedup), at(low), at(high or 1e12), at(1 / floor), at(floor))
