"""Which Blocks are compared with which: Trials that both arms have, and none that ended early."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from harness.analysis.compare.timing import Timing, ratio_of, timings


def timing(**trials: list[float]) -> Timing:
    numbered = {int(name[1:]): np.asarray(values) for name, values in trials.items()}
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


def test_a_trial_that_ended_early_is_not_compared_and_a_short_one_is() -> None:
    rows = [
        {"cell_id": "c", "arm": "subject", "trial": trial, "round": i, "calls": 1, "samples": 1,
         "median_s": 1.0, "duration_s": 1.0}
        for trial, blocks in enumerate((20, 20, 4, 6, 20))
        for i in range(blocks)
    ]  # fmt: skip
    found = timings(pd.DataFrame(rows), {"c": "single-stream"})["c", "subject"]
    assert set(found.seconds) == {0, 1, 3, 4}
    assert set(found.rounds) == {0, 1, 3, 4}


def test_the_median_is_not_drawn_to_the_trials_with_more_blocks_and_lives_on_the_log_scale() -> None:
    assert timing(t0=[1.0] * 30, t1=[4.0] * 10).median() == pytest.approx(2.0)
