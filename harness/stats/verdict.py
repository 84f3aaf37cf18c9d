"""Faster, slower, equivalent or inconclusive: one rule that accounts for the noise of identical code."""

from __future__ import annotations

import math
from enum import StrEnum

from harness.stats import checks
from harness.stats.ratio import Ratio

ONE_TRIAL_ALLOWANCE = 0.10
"""Relative change that a fresh process may cause by itself, used where one Trial cannot show it. Three times
the 3 % that was seen between two identical processes with a memory-bound model on a shared machine."""

TIE = 1e-9
"""Two figures whose relative difference is no larger than this differ by rounding only."""


class Verdict(StrEnum):
    """How the candidate compares with the baseline."""

    FASTER = "faster"
    SLOWER = "slower"
    EQUIVALENT = "equivalent"
    INCONCLUSIVE = "inconclusive"


def floor_magnitude(noise_floor: Ratio | None) -> float:
    """Return the largest relative change that identical code may have shown: 0.01 says 1 %.

    It is the end of the control's interval that is farther from 1. The control's estimate alone would be too
    low: in simulations identical code is then called different in 4 of 100 cases, and with this rule in fewer
    than 1 of 100 from 3 Trials on (2 of 100 at worst with 2 Trials of two modes). 0 without a control,
    infinite if its interval is unbounded.
    """
    if noise_floor is None:
        return 0.0
    if noise_floor.low <= 0 or math.isinf(noise_floor.high):
        return math.inf
    return max(1 / noise_floor.low, noise_floor.high) - 1


def margin(noise_floor: Ratio | None, target_ci: float) -> float:
    """Return the relative difference below which arms count as equivalent: max(target_ci, floor)."""
    return max(checks.above_zero(target_ci, "target_ci"), floor_magnitude(noise_floor))


def bar(ratio: Ratio, floor: float) -> float:
    """Return the least |log(estimate)| of a difference; its interval must exclude 1 as well.

    It is the noise floor's magnitude. One Trial cannot show how processes differ, so an allowance is added.
    """
    allowance = 0.0 if ratio.between_trials else math.log1p(ONE_TRIAL_ALLOWANCE)
    return math.log1p(floor) + allowance


def tells_apart(ratio: Ratio, floor: float) -> bool:
    """Whether the interval excludes 1 and the estimate passes the bar; `floor` is a `floor_magnitude`."""
    return ratio.excludes_one() and abs(math.log(ratio.estimate)) > bar(ratio, floor) * (1 + TIE)


def decide(
    ratio: Ratio,
    noise_floor: Ratio | None,
    target_ci: float,
    *,
    p_value: float | None = None,
    alpha: float = 0.05,
) -> Verdict:
    """Return the Verdict on `ratio`, given the control's ratio and the wanted target_ci (0.02 is 2 %).

    1. faster / slower: the interval excludes 1 *and* the estimate is farther from 1 than the noise floor's
       magnitude (and, if an adjusted `p_value` is given, it is below `alpha`).
    2. equivalent: the whole interval lies within 1 +- max(target_ci, floor), on the log scale: from 1 / (1 +
       m) to 1 + m, so that the rule does not depend on which arm is called the baseline.
    3. inconclusive: anything else; more Trials may resolve it.

    A small change may be real *and* below `target_ci`: then rule 1 wins. A gate with a threshold compares the
    interval with that threshold. With one Trial per arm the interval does not hold the spread between Trials:
    the Verdict is never "equivalent", and faster / slower only beyond the noise floor plus 10 %. Without a
    control (None) the floor is 0, and false alarms are as frequent as the interval's confidence allows (5 %).
    Raises HarnessError for target_ci <= 0.
    """
    equivalent_within = margin(noise_floor, target_ci)
    proven = p_value is None or p_value < alpha
    if proven and tells_apart(ratio, floor_magnitude(noise_floor)):
        return Verdict.FASTER if ratio.estimate > 1 else Verdict.SLOWER
    farthest = max(ratio.high, 1 / ratio.low) if ratio.low > 0 else math.inf
    if ratio.between_trials and farthest <= (1 + equivalent_within) * (1 + TIE):
        # With an unbounded floor everything would be equivalent, although nothing is known.
        return Verdict.EQUIVALENT if math.isfinite(equivalent_within) else Verdict.INCONCLUSIVE
    return Verdict.INCONCLUSIVE
