"""The leaderboards: one page for each workload and hardware of a Run, with filters and sliders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from harness.analysis.compare.comparison import Comparison
from harness.analysis.compare.leaderboard import Board
from harness.analysis.words import numbers as say
from harness.analysis.words.headline import speed_of
from harness.report.absent import absent
from harness.report.columns import peak_memory
from harness.report.gathering import Site
from harness.report.group import GroupView
from harness.report.links import board_path
from harness.report.page import RunView
from harness.report.pages.registry import Document, page

MAX_STOPS = 60


@dataclass(frozen=True)
class Budget:
    """A limit that a reader can set. Quality has one for each metric, since metrics have different units.

    `value` is that of a row in a Group where speed means the second argument (latency, throughput, rate).
    """

    key: str
    label: str
    value: Callable[[Comparison, str], float | None]
    text: Callable[[float, Comparison], str]
    of_quality: bool = False


@dataclass(frozen=True)
class Slider:
    """A budget with the values that the slider can stop at, smallest first, and their texts.

    A slider with a `metric` filters only the rows with that metric.
    """

    name: str
    key: str
    label: str
    values: list[float]
    texts: list[str]
    metric: str = ""


def _loss(value: float, row: Comparison) -> str:
    return f"{say.digits(value, 3, 4)} {say.unit_word(row.quality_unit)}".rstrip()


def _latency(row: Comparison, speed: str) -> float | None:
    """Return the latency that the table shows; in bulk, where it shows none, the compared time of a call."""
    return row.latency_p50_s if speed == "rate" else row.seconds_per_call


BUDGETS = (
    Budget(
        "loss",
        "Quality",
        lambda row, _: None if row.quality_loss is None else max(row.quality_loss, 0.0),
        _loss,
        of_quality=True,
    ),
    Budget("latency", "Latency", _latency, lambda v, _: say.quantity(v, "s")),
    Budget("rss", "Peak RSS", lambda row, _: peak_memory(row), lambda v, _: say.quantity(v, "bytes")),
    Budget("size", "Size", lambda row, _: row.artifact_bytes, lambda v, _: say.quantity(v, "bytes")),
)


@page("board", "Leaderboards", order=20)
def make(site: Site) -> Iterator[Document]:
    """One document for each workload and hardware of each Run."""
    for view in site.views:
        places: dict[tuple[str, str], list[GroupView]] = {}
        for group in view.groups:
            places.setdefault((group.board.group.workload, group.board.group.hardware), []).append(group)
        for (workload, hardware), groups in places.items():
            name = f"{workload} · {hardware}"
            yield Document(
                board_path(view.key, workload, hardware),
                f"{name} · {view.run.info.suite}",
                "board.html",
                partial(_data, view, groups, name),
                site.placed(view, name),
            )


def _data(view: RunView, groups: list[GroupView], name: str) -> dict[str, Any]:
    lines = [line for group in groups for line in group.table.lines]
    speed = speed_of(groups[0].board.group)
    missing, warnings = absent([group.board for group in groups], view.run)
    return {
        "view": view,
        "groups": groups,
        "name": name,
        "families": sorted({line.family.label for line in lines}),
        "runtimes": sorted({line.record.runtime for line in lines if line.record.runtime}),
        "has_budget": any(line.record.within_budget is not None for line in lines),
        "sliders": sliders([group.board for group in groups]),
        "limits": partial(limits, speed=speed),
        "absent": missing,
        "warnings": warnings,
    }


def sliders(boards: Sequence[Board]) -> list[Slider]:
    """Return the sliders of a page, without those that would filter nothing."""
    found = []
    speed = speed_of(boards[0].group)  # all have the same workload
    for budget in BUDGETS:
        metrics = dict.fromkeys(board.metric for board in boards if board.metric)
        for number, metric in enumerate(metrics if budget.of_quality else [""], start=1):
            rows = [row for board in boards if metric in ("", board.metric) for row in board.rows]
            name = budget.key if number == 1 else f"{budget.key}-{number}"
            found.append(_slider(budget, name, rows, speed, metric))
    return [slider for slider in found if len(slider.values) > 1]


def _slider(budget: Budget, name: str, rows: Sequence[Comparison], speed: str, metric: str) -> Slider:
    known = {value: row for row in rows if (value := _value(budget, row, speed)) is not None}
    values = _thinned(sorted(known))
    texts = [budget.text(value, known[value]) for value in values]
    label = f"Quality loss, {say.short(metric, 24)}" if metric else budget.label
    return Slider(name, budget.key, label, values, texts, metric)


def limits(row: Comparison, speed: str) -> dict[str, float]:
    """Return the values of a row that sliders compare, by the budget's key, without unknown ones."""
    found = {budget.key: _value(budget, row, speed) for budget in BUDGETS}
    return {key: value for key, value in found.items() if value is not None}


def _value(budget: Budget, row: Comparison, speed: str) -> float | None:
    """Return a row's value, rounded as on the page, so that it equals its own stop."""
    value = budget.value(row, speed)
    return None if value is None else float(f"{value:.9g}")


def _thinned(values: list[float]) -> list[float]:
    """Return at most `MAX_STOPS` of the values, both ends among them, evenly chosen."""
    if len(values) <= MAX_STOPS:
        return values
    last = len(values) - 1
    return [values[round(index * last / (MAX_STOPS - 1))] for index in range(MAX_STOPS)]
