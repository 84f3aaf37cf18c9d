"""Every measured Cell of a Run against its Group's baseline: speed, quality, size and memory, with intervals.

Ratios are taken inside a Group, never across.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from harness.analysis.compare.timing import Timing, Timings, noise_floor, ratio_of, timings
from harness.analysis.frames import Row, records
from harness.errors import HarnessError
from harness.stats.multiple import benjamini_hochberg, p_value
from harness.stats.paired import Difference, paired_difference
from harness.stats.ratio import Ratio
from harness.stats.verdict import Verdict, decide, floor_magnitude
from harness.store.info import RunInfo
from harness.store.reading import Run
from harness.units import POINTS

PRECISION = 0.02
"""Half-width that counts as the same where the Run does not say its own (settings.target_ci)."""

LOUD = 0.10
"""Difference from which on nothing is called the same, however loud the noise: many techniques gain less."""

COLUMNS = {
    "seconds_per_sample": "float",
    "speedup": "float",
    "speedup_low": "float",
    "speedup_high": "float",
    "speedup_p": "float",
    "speedup_p_adjusted": "float",
    "speedup_method": "object",
    "verdict": "object",
    "floor": "float",
    "floor_low": "float",
    "floor_high": "float",
    "drop": "float",
    "quality_loss_low": "float",
    "quality_loss_high": "float",
    "quality_loss_p": "float",
    "quality_loss_p_adjusted": "float",
    "discordant": "float",
    "size_ratio": "float",
    "memory_ratio": "float",
    "break_even_samples": "float",
    "on_board": "bool",
    "notes": "object",
}
"""What `compare` adds to a Record. `drop` is in the metric's unit and positive where quality is lost; `floor`
is the relative change that identical code showed, missing without a shadow arm; ratios are the Cell's value
over the baseline's; `break_even_samples` is how many items pay back the longer build."""


@dataclass
class Result:
    """One comparison before the correction for many: the Record, its ratio, and what is known beside it."""

    row: Row
    ratio: Ratio | None = None
    floor: Ratio | None = None
    drop: Difference | None = None
    found: Row = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def compare(run: Run) -> pd.DataFrame:
    """Return one row per measured Record (arm cell or baseline): its columns and those of `COLUMNS`."""
    cells = records(run.cells)
    measured = [row for row in cells if row["status"] == "measured" and row["arm"] in ("subject", "baseline")]
    timed = timings(run.blocks, {row["cell_id"]: row["scenario"] for row in measured})
    scores = _scores(run.scores)
    results = []
    for group in dict.fromkeys(row["group_id"] for row in measured):
        members = [row for row in measured if row["group_id"] == group]
        base = next((row for row in members if row["arm"] == "baseline"), None)
        results += [_result(row, base, timed, scores) for row in members]
    return _frame(run, _judged(results, run.info))


def target_ci(info: RunInfo) -> float:
    """Return the relative half-width that the Run aimed for."""
    value = info.settings.get("target_ci")
    return float(value) if isinstance(value, int | float) and value > 0 else PRECISION


def _result(row: Row, base: Row | None, timed: Timings, scores: dict[str, pd.Series[float]]) -> Result:
    result = Result(row)
    mine = timed.get((row["cell_id"], row["arm"]))
    result.found["seconds_per_sample"] = mine.median() if mine else None
    if base is None:
        result.notes.append("the Group's baseline was not measured: no ratios")
        return result
    if base["audit"] == "failed":
        result.notes.append("the Group's baseline failed its audit: no ratios")
        return result
    reference = timed.get((base["cell_id"], "baseline"))
    result.floor = noise_floor(reference, timed.get((base["cell_id"], "control")), mine)
    result.found |= {
        "size_ratio": _over(row["artifact_bytes"], base["artifact_bytes"]),
        "memory_ratio": _over(row["peak_rss_steady_bytes"], base["peak_rss_steady_bytes"]),
    }
    if row is base:
        return result
    result.ratio = ratio_of(reference, mine)
    if result.ratio is None:
        result.notes.append("no Blocks to compare: no speed-up")
    shares = row["quality_unit"] == POINTS
    result.drop = _difference(scores.get(base["cell_id"]), scores.get(row["cell_id"]), shares=shares)
    result.found["break_even_samples"] = _break_even(row, base, reference, result.ratio)
    return result


def _scores(answers: pd.DataFrame) -> dict[str, pd.Series[float]]:
    """Scores by Cell, indexed by item; a second arm's answers to the same items are left out."""
    first = answers.drop_duplicates(["cell_id", "sample"])
    return {str(cell): part.set_index("sample")["score"] for cell, part in first.groupby("cell_id")}


def _difference(
    baseline: pd.Series[float] | None, candidate: pd.Series[float] | None, *, shares: bool
) -> Difference | None:
    """Candidate minus baseline over the items that both answered; None where they share none."""
    if baseline is None or candidate is None:
        return None
    both = pd.concat([baseline, candidate], axis=1, join="inner")
    try:
        return paired_difference(both.iloc[:, 0].to_numpy(), both.iloc[:, 1].to_numpy(), shares=shares)
    except HarnessError:  # no common items, or scores that are no numbers
        return None


def _judged(results: list[Result], info: RunInfo) -> list[Result]:
    """Correct all p-values of the Run together (Benjamini-Hochberg), then decide each Verdict.

    The list is what the board shows: Records that failed their audit are not in it, nor are ratios of one
    Trial, whose p-values know nothing of how processes differ (a wider bar holds for them, stats/verdict.py).
    A leaderboard is a list that is browsed: what is bounded is the share of false alarms in it. That any at
    all is rare comes from the noise floor, which each Verdict has to pass besides (stats/verdict.py).
    """
    listed = [result for result in results if result.row["audit"] != "failed"]
    fast = [result for result in listed if result.ratio and result.ratio.between_trials]
    good = [result for result in listed if result.drop is not None]
    speeds = [p_value(result.ratio) for result in fast if result.ratio]
    drops = [result.drop.p for result in good if result.drop]
    for result, raw, adjusted in zip(fast, speeds, benjamini_hochberg(speeds) if speeds else [], strict=True):
        result.found |= {"speedup_p": raw, "speedup_p_adjusted": float(adjusted)}
    for result in results:
        if result.ratio:
            adjusted_p = result.found.get("speedup_p_adjusted")
            result.found["verdict"] = str(judge(result.ratio, result.floor, target_ci(info), adjusted_p))
    for result, adjusted in zip(good, benjamini_hochberg(drops) if drops else [], strict=True):
        result.found["quality_loss_p_adjusted"] = float(adjusted)
    return results


def judge(ratio: Ratio, floor: Ratio | None, wanted: float, p: float | None) -> Verdict:
    """Decide; but "the same" within a floor that hides all but large changes is not knowing.

    `wanted` is the target_ci that was aimed for, `p` the p-value, corrected where there are many comparisons.
    """
    verdict = decide(ratio, floor, wanted, p_value=p)
    known = ratio.low >= 1 / (1 + LOUD) and ratio.high <= 1 + LOUD
    return Verdict.INCONCLUSIVE if verdict is Verdict.EQUIVALENT and not known else verdict


def _frame(run: Run, results: list[Result]) -> pd.DataFrame:
    names = [str(name) for name in run.cells.columns]
    rows = [{**result.row, **_columns(result)} for result in results]
    frame = pd.DataFrame(rows, columns=[*names, *COLUMNS])
    return frame.astype(COLUMNS).copy()  # in one piece: a frame of many pieces is slow to add to


def _columns(result: Result) -> Row:
    row, ratio, floor = result.row, result.ratio, result.floor
    found: Row = dict.fromkeys(COLUMNS) | result.found
    found["on_board"] = row["audit"] != "failed"
    if row["audit"] == "failed":
        reasons = row["audit_reasons"] or ["no reason recorded"]
        result.notes += [f"failed its audit: {reason}" for reason in reasons]
    if floor is not None:
        found |= {"floor": floor_magnitude(floor), "floor_low": floor.low, "floor_high": floor.high}
    elif ratio is not None:
        result.notes.append("no shadow arm was measured: the noise floor is unknown")
    if row["arm"] == "baseline":
        found |= {"speedup": 1.0, "speedup_low": 1.0, "speedup_high": 1.0, "verdict": "baseline"}
        found |= (
            {"drop": 0.0, "quality_loss_low": 0.0, "quality_loss_high": 0.0}
            if row["quality"] is not None
            else {}
        )
    if ratio is not None:
        found |= {"speedup": ratio.estimate, "speedup_low": ratio.low, "speedup_high": ratio.high}
        found["speedup_method"] = ratio.method
        if not ratio.between_trials:
            result.notes.append("one Trial only: the interval does not know how fresh processes differ")
    if result.drop is not None:
        worse = 1.0 if row.get("quality_higher_is_better") is False else -1.0
        found |= _drop_columns(result.drop, worse * unit_scale(row["quality_unit"]))
    found["notes"] = result.notes
    return found


def unit_scale(unit: Any) -> float:
    """Return what turns a difference of scores into the metric's unit (pt: hundredths of a share)."""
    return 100.0 if unit == POINTS else 1.0


def _drop_columns(difference: Difference, scale: float) -> Row:
    """A drop is what was lost: `scale` is negative where a larger score is better.

    Adding 0.0 makes -0.0 a plain zero.
    """
    low, high = sorted((scale * difference.low, scale * difference.high))
    return {
        "drop": scale * difference.estimate + 0.0,
        "quality_loss_low": low + 0.0,
        "quality_loss_high": high + 0.0,
        "quality_loss_p": difference.p,
        "discordant": difference.discordant,
    }


def _break_even(row: Row, base: Row, reference: Timing | None, ratio: Ratio | None) -> float | None:
    """Items after which the longer build is paid back, by the speed-up that stands beside it.

    None where it never is or nothing is known.
    """
    old = reference.median() if reference else None
    if row["build_s"] is None or old is None or ratio is None or ratio.estimate <= 1:
        return None
    extra = max(float(row["build_s"]) - float(base["build_s"] or 0.0), 0.0)
    return extra / (old * (1 - 1 / ratio.estimate))


def _over(value: Any, base: Any) -> float | None:
    return None if value is None or not base else float(value) / float(base)
