"""Pay-back: counted in calls, and only for what is certainly faster."""

from __future__ import annotations

from dataclasses import replace

import pytest
from runs import comparison

from harness.analysis.words.numbers import break_even_calls, pay_back

ROW = comparison(speedup=2.0, build_s=3.0, break_even_samples=25_600.0, verdict="faster", batch=256)


@pytest.mark.parametrize(
    ("changes", "calls", "said"),
    [
        ({}, 100.0, "100 calls"),
        ({"batch": 1}, 25_600.0, "25.6 k calls"),
        ({"break_even_samples": 0.0}, 0.0, "at once"),
        ({"verdict": "inconclusive"}, None, "not known to be faster"),
        ({"verdict": "equivalent"}, None, "no gain seen"),
        ({"verdict": "slower", "break_even_samples": None}, None, "never"),
        ({"speedup": None, "verdict": None, "break_even_samples": None}, None, "unknown"),
        ({"build_s": None, "break_even_samples": None}, None, "unknown"),
    ],
)
def test_only_what_is_certainly_faster_pays_back(changes, calls, said):
    assert break_even_calls(replace(ROW, **changes)) == calls
    assert pay_back(replace(ROW, **changes)) == said
