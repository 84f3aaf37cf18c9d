"""Budgets that a reader sets on a leaderboard: what is asked of each row, and the stops of each slider."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.analysis.compare.comparison import Comparison
from harness.analysis.compare.leaderboard import Board
from harness.analysis.words import numbers as say
from harness.report.columns import peak_memory

STOPS = 60


@dataclass(frozen=True)
class Budget:
    """One thing that a row must not exceed. One of quality has a slider for each metric: units do not mix."""

    key: str
    label: str
    value: Callable[[Comparison], float | None]
    text: Callable[[float, Comparison], str]
    of_quality: bool = False


@dataclass(frozen=True)
class Slider:
    """A budget with its stops, smallest first: values and what they are called.

    With a `metric` it asks only rows that are judged by it.
    """

    name: str
    key: str
    label: str
    values: list[float]
    texts: list[str]
    metric: str = ""


def _drop(value: float, row: Comparison) -> str:
    return f"{say.digits(value, 3, 4)} {say.unit_word(row.quality_unit)}".rstrip()


BUDGETS = (
    Budget(
        "drop",
        "Quality",
        lambda row: None if row.quality_loss is None else max(row.quality_loss, 0.0),
        _drop,
        of_quality=True,
    ),
    Budget("p50", "Latency p50", lambda row: row.latency_p50_s, lambda v, _: say.quantity(v, "s")),
    Budget("rss", "Peak RSS", peak_memory, lambda v, _: say.quantity(v, "bytes")),
    Budget("size", "Size", lambda row: row.artifact_bytes, lambda v, _: say.quantity(v, "bytes")),
)


def sliders(boards: Sequence[Board]) -> list[Slider]:
    """Return the sliders of a page; a budget that all or none of the rows hold has none."""
    found = []
    for budget in BUDGETS:
        metrics = dict.fromkeys(board.metric for board in boards if board.metric)
        for number, metric in enumerate(metrics if budget.of_quality else [""], start=1):
            rows = [row for board in boards if metric in ("", board.metric) for row in board.rows]
            name = budget.key if number == 1 else f"{budget.key}-{number}"
            found.append(_slider(budget, name, rows, metric))
    return [slider for slider in found if len(slider.values) > 1]


def _slider(budget: Budget, name: str, rows: Sequence[Comparison], metric: str) -> Slider:
    known = {value: row for row in rows if (value := _taken(budget, row)) is not None}
    values = _spread(sorted(known))
    texts = [budget.text(value, known[value]) for value in values]
    return Slider(name, budget.key, _label(budget, rows, metric), values, texts, metric)


def _label(budget: Budget, rows: Sequence[Comparison], metric: str) -> str:
    if not metric:
        return budget.label
    less = any(row.quality_higher_is_better is False for row in rows)
    return f"{'Rise' if less else 'Drop'} in {say.short(metric, 24)}"


def limits(row: Comparison) -> dict[str, float]:
    """Return what a row takes of each budget, by its key; what is not known is left out."""
    taken = {budget.key: _taken(budget, row) for budget in BUDGETS}
    return {key: value for key, value in taken.items() if value is not None}


def _taken(budget: Budget, row: Comparison) -> float | None:
    """What a row takes, in the digits that the page holds: a stop and its own row must be equal."""
    value = budget.value(row)
    return None if value is None else float(f"{value:.9g}")


def _spread(values: list[float]) -> list[float]:
    """At most `STOPS` of the values, ends among them, as many rows between any two of them."""
    if len(values) <= STOPS:
        return values
    last = len(values) - 1
    return [values[round(index * last / (STOPS - 1))] for index in range(STOPS)]
