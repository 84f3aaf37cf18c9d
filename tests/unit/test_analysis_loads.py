"""Rates and the search for them, from the events to the Record, the comparison and the page."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from runs import record

from harness.analysis.compare.timing import ratio_of, timings
from harness.analysis.records.arms import block_row
from harness.analysis.records.columns import add_load, load_warnings
from harness.report.details import queries
from harness.store.arrays import pack


def block(rate: float | None, calls: int = 10, round_: int = 0, **statistics: Any) -> dict[str, Any]:
    event = {
        "cell_id": "c",
        "arm": "subject",
        "trial": 0,
        "round": round_,
        "order": 0,
        "start_ns": 0,
        "duration_ns": 10**9,
        "samples": calls,
        "calls_ns": pack(np.full(calls, 10**6, np.int64)),
        "tags": [],
        "evidence": {},
    }
    if rate is not None:
        event |= {"seconds_per_sample": 1 / rate, "statistics": {"rate_per_s": rate, **statistics}}
    return event


def test_rates_are_averaged_as_logarithms_and_shares_by_calls() -> None:
    blocks = [
        block(100.0, 10, over_bound_share=0.0, utilization=0.5),
        block(400.0, 30, over_bound_share=0.2, utilization=0.7),
    ]
    search = {"rates_per_s": [90.0, 100.0], "resolved": True}
    made = record()
    add_load(made, blocks, [{"search": search}, {"search": {}}, {}])
    assert made.qps == pytest.approx(200.0)
    assert made.over_bound_share == pytest.approx(0.15)
    assert made.utilization == pytest.approx(0.65)
    assert json.loads(made.search) == [search]


def test_nothing_is_said_where_queries_wait_for_each_other() -> None:
    made = record()
    add_load(made, [block(None)], [{"search": {}}])
    assert made == record()
    assert load_warnings(made, [], [{"search": {}}]) == []
    assert queries(made) == []


def test_a_reader_is_warned() -> None:
    warm = [{"search": {"resolved": False}}, {"search": {"resolved": True}}]
    resolved, grows = load_warnings(record(utilization=1.3), [], warm)
    assert "had not converged in 1 of 2 Trials" in resolved
    assert "the queue and the latencies grow" in grows
    assert load_warnings(record(utilization=0.99), [], warm[1:]) == []


def rows(*events: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame([block_row(event, 0, 0.0) for event in events])


def test_speed_is_what_the_block_says_and_for_older_runs_what_is_computed() -> None:
    said = timings(rows(block(50.0), block(200.0, round_=1)), {"c": "server"})
    np.testing.assert_allclose(said["c", "subject"].seconds["", 0], [1 / 50, 1 / 200])
    older = rows(block(None)).drop(columns="seconds_per_sample")
    for frame in (older, rows(block(None))):
        one = timings(frame, {"c": "single-stream"})["c", "subject"].seconds["", 0]
        np.testing.assert_allclose(one, [1e-3])
        bulk = timings(frame, {"c": "offline"})["c", "subject"].seconds["", 0]
        np.testing.assert_allclose(bulk, [0.1])


def test_a_server_arms_speed_up_is_the_ratio_of_its_rates() -> None:
    def arm(factor: float) -> Any:
        events = [
            {**block(rate * factor, round_=i), "trial": trial}
            for trial in range(3)
            for i, rate in enumerate((100.0, 102.0, 98.0))
        ]
        return timings(rows(*events), {"c": "server"})["c", "subject"]

    ratio = ratio_of(arm(1.0), arm(1.5))
    assert ratio is not None
    assert ratio.estimate == pytest.approx(1.5)


def test_the_page_tells_how_the_rate_was_found() -> None:
    searches = [{"rates_per_s": [90.0, 110.0], "resolved": True}, {"rates_per_s": [50.0], "resolved": False}]
    row = record(qps=104.0, over_bound_share=0.01, utilization=0.8, search=json.dumps(searches))
    assert queries(row) == [
        ("rate", "104 queries/s"),
        ("over the bound", "1.0 % of the queries"),
        ("utilization", "80 % of the time"),
        ("search, Trial 1", "90.0 queries/s → 110 queries/s"),
        ("search, Trial 2", "50.0 queries/s, did not converge"),
    ]
    assert queries(replace(row, search="{torn"))[3:] == []


@pytest.mark.parametrize(("over", "told"), [(0.012, False), (0.03, True), (None, False)])
def test_a_rate_that_does_not_hold_its_bound_is_told(over: float | None, told: bool) -> None:
    blocks = [{"statistics": {"allowed_share": 0.01}}, {"statistics": {}}]
    found = load_warnings(record(over_bound_share=over), blocks, [])
    assert bool(found) == told
    assert not told or "3.0% of the queries exceeded the latency bound and 1.0% are allowed" in found[0]
