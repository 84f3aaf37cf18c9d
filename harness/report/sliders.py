"""Budgets that a reader sets on a leaderboard: what is asked of each row, and the stops of each slider."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.analysis import wording as say
from harness.analysis.frames import Row
from harness.report.columns import peak_memory

STOPS = 60


@dataclass(frozen=True)
class Budget:
    """One thing that a row must not exceed."""

    key: str
    label: str
    value: Callable[[Row], float | None]
    text: Callable[[float, Row], str]


@dataclass(frozen=True)
class Slider:
    """A budget with its stops, smallest first: values and what they are called."""

    budget: Budget
    values: list[float]
    texts: list[str]


def _drop(value: float, row: Row) -> str:
    return f"{say.digits(value)} {say.unit_word(row['quality_unit'])}".rstrip()


BUDGETS = (
    Budget("drop", "Quality drop", lambda row: None if row["drop"] is None else max(row["drop"], 0.0), _drop),
    Budget("p50", "Latency p50", lambda row: row["latency_p50_s"], lambda v, _: say.quantity(v, "s")),
    Budget("rss", "Peak RSS", peak_memory, lambda v, _: say.quantity(v, "bytes")),
    Budget("size", "Size", lambda row: row["artifact_bytes"], lambda v, _: say.quantity(v, "bytes")),
)


def sliders(rows: Sequence[Row]) -> list[Slider]:
    """Return the sliders of rows; a budget that all or none of them hold has none."""
    found = []
    for budget in BUDGETS:
        known = {value: row for row in rows if (value := budget.value(row)) is not None}
        values = _spread(sorted(known))
        if len(values) > 1:
            found.append(Slider(budget, values, [budget.text(value, known[value]) for value in values]))
    return found


def limits(row: Row) -> dict[str, float | None]:
    """Return what a row takes of each budget, by its key."""
    return {budget.key: budget.value(row) for budget in BUDGETS}


def _spread(values: list[float]) -> list[float]:
    """At most `STOPS` of the values, ends among them, as many rows between any two of them."""
    if len(values) <= STOPS:
        return values
    last = len(values) - 1
    return [values[round(index * last / (STOPS - 1))] for index in range(STOPS)]
