"""Sliders: one for each quality metric, because their units differ; they stop at the values of rows."""

from __future__ import annotations

import pytest
from runs import TECHNIQUES, Group, make_run

from harness.analysis.compare.leaderboard import boards
from harness.report.pages.board import MAX_STOPS, limits, sliders
from harness.report.tables import table

MIXED = (
    Group("cnn"),
    Group("mlp", metric="cosine", unit=""),
    Group("net", metric="max-error", unit="", more_is_better=False),
)


def test_each_metric_has_a_slider_of_its_own_unit_and_rows(tmp_path):
    found = boards(make_run(tmp_path / "run", MIXED))
    quality = {slider.metric: slider for slider in sliders(found) if slider.key == "loss"}
    assert {metric: slider.label for metric, slider in quality.items()} == {
        "top1": "Quality loss, top1",
        "cosine": "Quality loss, cosine",
        "max-error": "Quality loss, max-error",
    }
    assert len({slider.name for slider in sliders(found)}) == len(sliders(found))
    for board in found:
        own = quality[board.metric]
        assert own.values == sorted({limits(row, "latency")["loss"] for row in board.rows})
        assert own.texts[-1].endswith(" points") == (board.unit == "pt")
    assert max(quality["top1"].values) > 0.5  # points
    assert max(quality["cosine"].values) < 0.02  # a difference of scores


def test_what_counts_the_same_everywhere_has_one_slider(tmp_path):
    found = boards(make_run(tmp_path / "run", MIXED))
    size = [slider for slider in sliders(found) if slider.key == "size"]
    assert len(size) == 1
    assert size[0].values == sorted({row.artifact_bytes for b in found for row in b.rows})
    assert size[0].metric == ""


def test_stops_are_few_and_hold_both_ends(tmp_path):
    groups = tuple(Group(f"m{i}", call_s=1e-4 * (i + 1)) for i in range(12))
    found = boards(make_run(tmp_path / "run", groups, TECHNIQUES[:8], trials=2, rounds=2))
    latency = next(slider for slider in sliders(found) if slider.key == "latency")
    taken = [limits(row, "latency")["latency"] for board in found for row in board.rows]
    assert len(latency.values) == MAX_STOPS < len(taken)
    assert (latency.values[0], latency.values[-1]) == (min(taken), max(taken))


def test_a_budget_that_all_rows_hold_alike_has_no_slider(tmp_path):
    found = boards(make_run(tmp_path / "run", (Group(quality=None),), TECHNIQUES[:1]))
    assert sliders(found) == []


def test_the_slider_of_latency_takes_the_latency_that_the_table_shows(tmp_path):
    run = make_run(tmp_path / "run", (Group(),), TECHNIQUES[:4])
    slow = (run.blocks["arm"] == "subject") & (run.blocks["round"] % 3 == 0)
    run.blocks.loc[slow, "median_s"] *= 1.7
    (board,) = boards(run)
    for line in table(board).lines:
        shown = next(value.sort for value in line.values if value.key == "latency")
        assert limits(line.record, "latency")["latency"] == pytest.approx(shown)
        assert limits(line.record, "rate")["latency"] == pytest.approx(line.record.latency_p50_s)
