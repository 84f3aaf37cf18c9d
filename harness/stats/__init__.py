"""Percentiles, ratios, verdicts and plans. Pure numpy; scipy is imported when a function needs it."""

from harness.stats.multiple import benjamini_hochberg, holm, p_value
from harness.stats.paired import Difference, mcnemar, mean_interval, paired_difference, proportion
from harness.stats.planning import Budget, Spread, StopReason, plan, spread, stop
from harness.stats.quantiles import (
    Percentile,
    loadgen_estimate,
    min_calls,
    mixture,
    percentile,
    percentiles,
)
from harness.stats.ratio import Ratio, paired_ratios, speedup, unpaired_ratio
from harness.stats.steady import Steady, find_steady
from harness.stats.verdict import Verdict, decide, floor_magnitude, margin

__all__ = [
    "Budget",
    "Difference",
    "Percentile",
    "Ratio",
    "Spread",
    "Steady",
    "StopReason",
    "Verdict",
    "benjamini_hochberg",
    "decide",
    "find_steady",
    "floor_magnitude",
    "holm",
    "loadgen_estimate",
    "margin",
    "mcnemar",
    "mean_interval",
    "min_calls",
    "mixture",
    "p_value",
    "paired_difference",
    "paired_ratios",
    "percentile",
    "percentiles",
    "plan",
    "proportion",
    "speedup",
    "spread",
    "stop",
    "unpaired_ratio",
]
