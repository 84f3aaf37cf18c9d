"""Which Blocks are compared with which: Trials that both arms have, and none that ended early."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from harness.analysis.compare.timing import Timing, ratio_of, timings
from harness.stats.ratio import Ratio


def timing(**trials: list[float]) -> Timing:
    numbered = {("s", int(name[1:])): np.asarray(values) for name, values in trials.items()}
    return Timing(numbered, {trial: np.arange(values.size) for trial, values in numbered.items()})


def test_one_common_trial_is_compared_alone_and_says_so() -> None:
    """A Group in parts: drift between parts must not look like a change."""
    drift = 1.03
    baseline = timing(t0=[1.0] * 9, t1=[drift] * 9, t2=[drift**2] * 9)
    candidate = timing(t0=[1.0, 1.001, 0.999] * 3)
    found = ratio_of(baseline, candidate)
    assert found is not None
    assert found.estimate == pytest.approx(1.0, abs=1e-3)
    assert (found.trials, found.between_trials) == (1, False)


def test_trials_that_were_not_interleaved_are_not_paired() -> None:
    """The k-th Trials of arms that share none have nothing in common: their order must not matter."""
    baseline = timing(t0=[1.0] * 5, t2=[1.1] * 5, t4=[1.3] * 5)
    found = ratio_of(baseline, timing(t1=[2.0] * 5, t3=[2.1] * 5, t5=[2.6] * 5))
    other = ratio_of(baseline, timing(t1=[2.6] * 5, t3=[2.0] * 5, t5=[2.1] * 5))
    assert found is not None
    assert other is not None
    assert found.estimate == pytest.approx(0.51, rel=0.1)
    assert (other.low, other.high) == pytest.approx((found.low, found.high))


def blocks(cell_id: str, sitting: str | None, **trials: float) -> list[dict[str, object]]:
    """Five Blocks for each Trial, each call of the given seconds."""
    return [
        {"cell_id": cell_id, "arm": "subject", "sitting": sitting, "trial": int(name[1:]), "round": round_,
         "calls": 1, "samples": 1, "median_s": seconds, "duration_s": seconds}
        for name, seconds in trials.items()
        for round_ in range(5)
    ]  # fmt: skip


def compared(*rows: list[dict[str, object]], first: str = "a", second: str = "b") -> Ratio:
    frame = pd.DataFrame([row for part in rows for row in part])
    found = timings(frame, dict.fromkeys(frame["cell_id"], "single-stream"))
    ratio = ratio_of(found[first, "subject"], found[second, "subject"])
    assert ratio is not None
    return ratio


def test_blocks_of_two_runs_are_not_paired_though_their_trials_have_the_same_numbers() -> None:
    """Welch: each arm has the variance (ln 1.1)² / 2, so the standard error is ln 1.1 / √2 with 2 degrees."""
    found = compared(blocks("a", "run1/g", t0=1.0, t1=1.1), blocks("b", "run2/g", t0=2.0, t1=2.2))
    assert found.method == "Welch t over 2 and 2 Trials"
    assert found.estimate == pytest.approx(0.5)
    half = 4.302653 * math.log(1.1) / math.sqrt(2)
    assert (found.low, found.high) == pytest.approx((0.5 * math.exp(-half), 0.5 * math.exp(half)))
    assert (found.low, found.high) == pytest.approx((0.374141, 0.668196), rel=1e-5)


def test_runs_that_each_hold_both_arms_are_paired_each_within_itself() -> None:
    """The second Run was three times slower; every Trial shows 2 times, and none is left out."""
    found = compared(
        *(blocks("a", "run1/g", t0=1.0, t1=1.1), blocks("b", "run1/g", t0=0.5, t1=0.55)),
        *(blocks("a", "run2/g", t0=3.0, t1=3.3), blocks("b", "run2/g", t0=1.5, t1=1.65)),
    )
    assert (found.method, found.trials, found.blocks) == ("t over 4 paired Trials", 4, 20)
    assert (found.low, found.estimate, found.high) == pytest.approx((2.0, 2.0, 2.0))


def test_parts_are_paired_with_the_baseline_and_not_with_each_other() -> None:
    rows = (
        blocks("base", "r/g", t0=1.0, t1=1.5, t2=1.2, t3=1.8),
        blocks("a", "r/g", t0=0.5, t2=0.6),
        blocks("b", "r/g", t1=0.5, t3=0.6),
    )
    with_a, with_b = (compared(*rows, first="base", second=name) for name in "ab")
    assert (with_a.low, with_a.high) == pytest.approx((2.0, 2.0))
    assert (with_b.low, with_b.high) == pytest.approx((3.0, 3.0))
    apart = compared(*rows)
    assert apart.method == "Welch t over 2 and 2 Trials"
    assert apart.estimate == pytest.approx(1.0)
    assert apart.low == pytest.approx(math.exp(-4.302653 * math.log(1.2) / math.sqrt(2)))


def test_a_short_sitting_is_not_truncated_by_the_length_of_another() -> None:
    long = [
        {**row, "round": 5 * number + row["round"]}
        for number in range(8)
        for row in blocks("a", "r1/g", t0=1.0)
    ]
    short = [row for row in blocks("a", "r2/g", t0=1.0, t1=1.0) if row["round"] < 3]  # type: ignore[operator]
    more = [{**row, "trial": trial} for trial in range(1, 4) for row in long]
    found = timings(pd.DataFrame([*long, *more, *short]), {"a": "single-stream"})["a", "subject"]
    assert set(found.seconds) == {*(("r1/g", n) for n in range(4)), ("r2/g", 0), ("r2/g", 1)}


def test_a_trial_that_ended_early_is_not_compared_and_a_short_one_is() -> None:
    rows = [
        {"cell_id": "c", "arm": "subject", "trial": trial, "round": i, "calls": 1, "samples": 1,
         "median_s": 1.0, "duration_s": 1.0}
        for trial, blocks in enumerate((20, 20, 4, 6, 20))
        for i in range(blocks)
    ]  # fmt: skip
    found = timings(pd.DataFrame(rows), {"c": "single-stream"})["c", "subject"]
    assert set(found.seconds) == {("", 0), ("", 1), ("", 3), ("", 4)}
    assert set(found.rounds) == {("", 0), ("", 1), ("", 3), ("", 4)}


def test_the_median_is_not_drawn_to_the_trials_with_more_blocks_and_lives_on_the_log_scale() -> None:
    assert timing(t0=[1.0] * 30, t1=[4.0] * 10).median() == pytest.approx(2.0)
