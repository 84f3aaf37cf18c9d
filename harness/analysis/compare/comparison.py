"""Every measured Cell of a Run against its Group's baseline: speed, quality, size and memory, with intervals.

Ratios are taken within a Group, never across Groups.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import pandas as pd

from harness.analysis.compare.timing import Timing, Timings, interleaved, noise_floor, ratio_of, timings
from harness.errors import HarnessError
from harness.stats.multiple import benjamini_hochberg, p_value
from harness.stats.paired import Difference, paired_difference
from harness.stats.ratio import Ratio
from harness.stats.verdict import Verdict, decide, floor_magnitude
from harness.store.info import RunInfo
from harness.store.reading import Run
from harness.store.record import Record, column
from harness.store.schema import columns, values
from harness.units import POINTS

TARGET_CI = 0.02
"""Relative half-width that counts as equivalent where the Run does not give its own (settings.target_ci)."""

ONE_TRIAL = "one Trial only: the interval leaves out how much fresh processes differ"
UNPAIRED = (
    "its Blocks were not interleaved with the baseline's: the interval of its speed-up does not include what "
    "changed between the two"
)

MAX_EQUIVALENT = 0.10
"""No difference above this is called equivalent, even if the noise floor is higher: many techniques gain
less."""


@dataclass(kw_only=True)
class Comparison(Record):
    """A Record, compared with its Group's baseline and ranked on its leaderboard.

    Numbers that are infinite or NaN are None.
    """

    seconds_per_sample: float | None = column(
        "speed as compared: the geometric mean over the baseline's Trials of their median Block, over the "
        "speed-up; without a speed-up that mean over its own Trials",
        "s",
    )
    seconds_per_call: float | None = column("the same for one timed call", "s")
    speedup: float | None = column("the baseline's time over the Cell's")
    speedup_low: float | None = column("lower end of its 95 % interval")
    speedup_high: float | None = column("upper end of its 95 % interval")
    winner_low: float | None = column(
        "lower end of the interval of its Group's fastest, adjusted for the choice"
    )
    winner_high: float | None = column("upper end of that interval")
    winner_candidates: int | None = column("Cells that could have come out fastest, the fastest included")
    speedup_trials: int | None = column("Trials behind that interval", "Trials")
    speedup_blocks: int | None = column("Blocks, or pairs of Blocks, behind that interval", "Blocks")
    speedup_p: float | None = column("p-value of equal speed")
    speedup_p_adjusted: float | None = column("that p-value, corrected for all comparisons of the Run")
    speedup_method: str | None = column("how the interval was estimated")
    verdict: str | None = column("faster, slower, equivalent, inconclusive; baseline for the baseline")
    floor: float | None = column("relative change that identical code showed; null without a control")
    floor_low: float | None = column("lower end of the control's ratio")
    floor_high: float | None = column("upper end of the control's ratio")
    quality_loss: float | None = column("loss against the baseline in the metric's unit, same samples")
    quality_loss_low: float | None = column("lower end of its 95 % interval")
    quality_loss_high: float | None = column("upper end of its 95 % interval")
    quality_loss_p: float | None = column("p-value of no loss")
    quality_loss_p_adjusted: float | None = column("that p-value, corrected for all comparisons of the Run")
    discordant: int | None = column("samples whose score differs from the baseline's", "samples")
    size_ratio: float | None = column("Artifact size over the baseline's")
    memory_ratio: float | None = column("peak resident memory in the Blocks over the baseline's")
    break_even_samples: float | None = column("samples after which the longer build is paid back", "samples")
    on_board: bool | None = column("whether it is ranked: it passed its audit; null if it was not measured")
    notes: list[str] = column("what a reader must know about the comparison", default=list)
    rank: int | None = column("place on the leaderboard by speed-up, from 1")
    pareto: bool | None = column("whether no other Cell of the Group is both faster and better")
    budget: str | None = column("whether the quality loss is within the budget: held, broken or not shown")
    within_budget: bool | None = column("true: held; false: broken; null: not shown, or without a budget")
    samples_needed: int | None = column(
        "samples that would show that the budget is held, if the loss stays as it is", "samples"
    )

    @property
    def interval(self) -> tuple[float | None, float | None]:
        """The ends of the speed-up's 95 % interval; of a Group's fastest Cell, adjusted for the choice."""
        if self.winner_candidates is not None:
            return self.winner_low, self.winner_high
        return self.speedup_low, self.speedup_high


def comparison_of(record: Record, **found: Any) -> Comparison:
    """Return the Record as a Comparison with the columns `found`; numbers that are not finite become None."""
    plain: dict[str, Any] = {
        k: None if isinstance(v, float) and not isfinite(v) else v for k, v in found.items()
    }
    return Comparison(**values(record), **plain)


def to_frame(rows: Iterable[Comparison]) -> pd.DataFrame:
    """Return Comparisons as a frame, one row each, with a column for each attribute."""
    return pd.DataFrame(map(values, rows), columns=[each.name for each in columns(Comparison)])


@dataclass
class Result:
    """One comparison before the correction for many: the Record, its ratio, and what is known beside it."""

    record: Record
    ratio: Ratio | None = None
    floor: Ratio | None = None
    loss: Difference | None = None
    found: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def timings_of(run: Run) -> Timings:
    """Return the Blocks of a Run's measured Cells by arm."""
    measured = {each.cell_id: each.scenario or "" for each in run.records if each.status == "measured"}
    return timings(run.blocks, measured)


def compare(run: Run, timed: Timings | None = None) -> list[Comparison]:
    """Return each measured Record (of a subject or baseline), compared with its Group's baseline.

    `timed`: what `timings_of` returns for the Run, if it is at hand.
    """
    measured = [each for each in run.records if each.status == "measured" and each.arm != "control"]
    timed = timings_of(run) if timed is None else timed
    scores = _scores(run.scores)
    results = []
    for group in dict.fromkeys(each.group_id for each in measured):
        members = [each for each in measured if each.group_id == group]
        base = next((each for each in members if each.arm == "baseline"), None)
        results += [_result(each, base, timed, scores) for each in members]
    _add_call_times(results, run.blocks)
    return [_comparison(result) for result in _judged(results, run.info)]


def _add_call_times(results: Iterable[Result], blocks: pd.DataFrame) -> None:
    """Fill `seconds_per_call`; samples of a call are known from the Blocks."""
    totals = blocks.groupby("cell_id")[["samples", "calls"]].sum()
    per_call = (totals["samples"] / totals["calls"]).to_dict()
    for result in results:
        seconds, samples = result.found["seconds_per_sample"], per_call.get(result.record.cell_id)
        result.found["seconds_per_call"] = seconds * samples if seconds and samples else None


def target_ci(info: RunInfo) -> float:
    """Return the relative half-width that the Run aimed for."""
    value = info.settings.get("target_ci")
    return float(value) if isinstance(value, int | float) and value > 0 else TARGET_CI


def _result(row: Record, base: Record | None, timed: Timings, scores: dict[str, pd.Series[float]]) -> Result:
    result = Result(row)
    mine = timed.get((row.cell_id, row.arm))
    result.found["seconds_per_sample"] = mine.median() if mine else None
    if base is None:
        result.notes.append("the Group's baseline was not measured: no ratios")
        return result
    if base.audit == "failed":
        result.notes.append("the Group's baseline failed its audit: no ratios")
        return result
    reference = timed.get((base.cell_id, "baseline"))
    result.floor = noise_floor(reference, timed.get((base.cell_id, "control")), mine)
    result.found |= {
        "size_ratio": _over(row.artifact_bytes, base.artifact_bytes),
        "memory_ratio": _over(row.peak_rss_steady_bytes, base.peak_rss_steady_bytes),
    }
    if row is base:
        return result
    result.ratio = ratio_of(reference, mine)
    if result.ratio is None or reference is None or mine is None:
        result.notes.append("no Blocks to compare: no speed-up")
    elif seconds := reference.median():
        if not interleaved(reference, mine)[0].seconds:
            result.notes.append(UNPAIRED)
        # Its own median is of other moments than the baseline's. If a shared machine is slow in half of the
        # rounds, medians of identical code may differ by all of that; the median of paired Blocks does not.
        result.found["seconds_per_sample"] = seconds / result.ratio.estimate
    shares = row.quality_unit == POINTS
    result.loss = _difference(scores.get(base.cell_id), scores.get(row.cell_id), shares=shares)
    result.found["break_even_samples"] = _break_even(row, base, reference, result.ratio)
    return result


def _scores(scores: pd.DataFrame) -> dict[str, pd.Series[float]]:
    """Return the scores by Cell, indexed by sample; those of a second arm are left out."""
    first = scores.drop_duplicates(["cell_id", "sample"])
    return {str(cell): part.set_index("sample")["score"] for cell, part in first.groupby("cell_id")}


def _difference(
    baseline: pd.Series[float] | None, candidate: pd.Series[float] | None, *, shares: bool
) -> Difference | None:
    """Return candidate minus baseline over the samples that both have; None if they share none."""
    if baseline is None or candidate is None:
        return None
    if not baseline.index.equals(candidate.index):
        baseline, candidate = baseline.align(candidate, join="inner")
    try:
        return paired_difference(baseline.to_numpy(), candidate.to_numpy(), shares=shares)
    except HarnessError:  # no common samples, or scores that are not finite
        return None


def _judged(results: list[Result], info: RunInfo) -> list[Result]:
    """Correct all p-values of the Run together (Benjamini-Hochberg), then decide each Verdict.

    Records that failed their audit are not counted, since the board does not show them. Ratios of one Trial
    are not counted either: their p-values ignore how processes differ, so a stricter rule applies to them
    (stats/verdict.py). The correction bounds the share of false alarms on a leaderboard; the noise floor,
    which each Verdict must also exceed, makes any false alarm rare.
    """
    listed = [result for result in results if result.record.audit != "failed"]
    fast = [result for result in listed if result.ratio and result.ratio.between_trials]
    good = [result for result in listed if result.loss is not None]
    speeds = [p_value(result.ratio) for result in fast if result.ratio]
    losses = [result.loss.p for result in good if result.loss]
    for result, raw, adjusted in zip(fast, speeds, benjamini_hochberg(speeds) if speeds else [], strict=True):
        result.found |= {"speedup_p": raw, "speedup_p_adjusted": float(adjusted)}
    for result in results:
        if result.ratio:
            adjusted_p = result.found.get("speedup_p_adjusted")
            result.found["verdict"] = str(judge(result.ratio, result.floor, target_ci(info), adjusted_p))
    for result, adjusted in zip(good, benjamini_hochberg(losses) if losses else [], strict=True):
        result.found["quality_loss_p_adjusted"] = float(adjusted)
    return results


def judge(ratio: Ratio, floor: Ratio | None, wanted: float, p: float | None) -> Verdict:
    """Return the Verdict; equivalent becomes inconclusive if a change above MAX_EQUIVALENT is still possible.

    `wanted` is the Run's target_ci, `p` the p-value, corrected if there are many comparisons.
    """
    verdict = decide(ratio, floor, wanted, p_value=p)
    known = ratio.low >= 1 / (1 + MAX_EQUIVALENT) and ratio.high <= 1 + MAX_EQUIVALENT
    return Verdict.INCONCLUSIVE if verdict is Verdict.EQUIVALENT and not known else verdict


def _comparison(result: Result) -> Comparison:
    record, ratio, floor = result.record, result.ratio, result.floor
    found: dict[str, Any] = result.found | {"on_board": record.audit != "failed", "notes": result.notes}
    if record.audit == "failed":
        reasons = record.audit_reasons or ["no reason recorded"]
        result.notes += [f"failed its audit: {reason}" for reason in reasons]
    if floor is not None:
        found |= {"floor": floor_magnitude(floor), "floor_low": floor.low, "floor_high": floor.high}
    elif ratio is not None:
        result.notes.append("no control was measured: the noise floor is unknown")
    if record.arm == "baseline":
        found |= {"speedup": 1.0, "speedup_low": 1.0, "speedup_high": 1.0, "verdict": "baseline"}
        found |= {"speedup_trials": record.trials, "speedup_blocks": record.blocks}
        if record.quality is not None:
            found |= {"quality_loss": 0.0, "quality_loss_low": 0.0, "quality_loss_high": 0.0}
    if ratio is not None:
        found |= {"speedup": ratio.estimate, "speedup_low": ratio.low, "speedup_high": ratio.high}
        found |= {"speedup_trials": ratio.trials, "speedup_blocks": ratio.blocks}
        found["speedup_method"] = ratio.method
        if not ratio.between_trials:
            result.notes.append(ONE_TRIAL)
    if result.loss is not None:
        worse = 1.0 if record.quality_higher_is_better is False else -1.0
        found |= _loss_columns(result.loss, worse * unit_scale(record.quality_unit))
    return comparison_of(record, **found)


def unit_scale(unit: str | None) -> float:
    """Return the factor from a difference of scores to the metric's unit (pt: hundredths of a share)."""
    return 100.0 if unit == POINTS else 1.0


def _loss_columns(difference: Difference, scale: float) -> dict[str, float | int | None]:
    """Return the columns of a quality loss: `scale` is negative where a larger score is better.

    Adding 0.0 makes -0.0 a plain zero.
    """
    low, high = sorted((scale * difference.low, scale * difference.high))
    return {
        "quality_loss": scale * difference.estimate + 0.0,
        "quality_loss_low": low + 0.0,
        "quality_loss_high": high + 0.0,
        "quality_loss_p": difference.p,
        "discordant": difference.discordant,
    }


def _break_even(row: Record, base: Record, reference: Timing | None, ratio: Ratio | None) -> float | None:
    """Return the samples after which the longer build is paid back; None if never or unknown."""
    old = reference.median() if reference else None
    if row.build_s is None or old is None or ratio is None or ratio.estimate <= 1:
        return None
    extra = max(float(row.build_s) - float(base.build_s or 0.0), 0.0)
    return extra / (old * (1 - 1 / ratio.estimate))


def _over(value: float | None, base: float | None) -> float | None:
    return None if value is None or not base else float(value) / float(base)
