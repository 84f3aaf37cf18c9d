"""The quality budget: whether a Cell holds it, breaks it, or is not shown to do either."""

from __future__ import annotations

from dataclasses import replace
from math import nan

from harness.analysis.compare.comparison import Comparison
from harness.stats.planning import samples_needed
from harness.store.info import RunInfo
from harness.units import POINTS, parse_points

INTERVAL = "interval"
HELD, BROKEN, NOT_SHOWN = "held", "broken", "not shown"
WITHIN = {HELD: True, BROKEN: False}
UNANIMOUS = 200
"""From so many samples on, a budget is held if none of them differs. At most 1.5 % of all samples can then
differ (3/n, the rule of three). To show 0.5 % takes 600 samples, even of an exact conversion."""


def budget_state(row: Comparison, max_drop: float | None, rule: str = INTERVAL) -> str | None:
    """Return whether a Cell's quality loss is within the budget: held, broken or not shown; None without one.

    Held: the whole 95 % interval of the loss lies within it, or none of UNANIMOUS samples or more differs
    from the baseline's. Broken: the whole interval lies outside. With the rule `point`, the estimate alone
    decides.
    """
    if max_drop is None or row.quality_loss is None:
        return None
    if rule != INTERVAL:
        return HELD if row.quality_loss <= max_drop else BROKEN
    same = row.discordant == 0 and row.quality_loss == 0
    if row.arm == "baseline" or (same and (row.evaluation_samples or 0) >= UNANIMOUS):
        return HELD
    low, high = number(row.quality_loss_low), number(row.quality_loss_high)
    return HELD if high <= max_drop else BROKEN if low > max_drop else NOT_SHOWN


def with_state(row: Comparison, state: str | None, max_drop: float | None) -> Comparison:
    """Add the state to a row; where it is not shown, the number of samples that would show it."""
    if state != NOT_SHOWN or max_drop is None or not row.evaluation_samples:
        return replace(row, budget=state)
    loss, high = number(row.quality_loss), number(row.quality_loss_high)
    return replace(
        row, budget=state, samples_needed=samples_needed(row.evaluation_samples, loss, high, max_drop)
    )


def rule_of(info: RunInfo) -> str:
    """Return the rule by which a Run's budget is held."""
    return str(info.quality.get("rule", INTERVAL))


def budget(info: RunInfo, metric: str = "", unit: str = POINTS) -> float | None:
    """Return the largest allowed quality loss of a metric in its unit, or None without a budget.

    `max_drop` (0.5 of ``0.5`` or ``0.5pt``) is in points, so it applies only to metrics of that unit.
    """
    own = info.quality.get("by_metric")
    if isinstance(own, dict) and isinstance(own.get(metric), int | float):
        return float(own[metric])
    if metric and unit != POINTS:
        return None
    try:
        value = parse_points(info.quality.get("max_drop"))
    except ValueError:
        return None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def number(value: float | None) -> float:
    """Return the value, NaN for None."""
    return nan if value is None else value
