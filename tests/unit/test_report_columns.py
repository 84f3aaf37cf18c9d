"""Columns and tables: one unit a column, aligned decimals, and a reason for every missing value."""

from __future__ import annotations

import pytest
from runs import TECHNIQUES, Group, Technique, make_run, vary

from harness.analysis.compare.leaderboard import boards
from harness.report.columns import COLUMNS, aligned, best_unit, scaled
from harness.report.tables import table


def made(tmp_path, techniques=TECHNIQUES, group=None, **kwargs):
    (board,) = boards(make_run(tmp_path / "run", (group or Group(),), techniques, **kwargs))
    return table(board)


def test_a_column_has_one_unit_and_its_decimal_points_line_up():
    found = scaled([0.0123, 0.00123, None, 0.123], "s")
    assert found.unit == "ms"
    assert [text and text.rstrip("\u2007\u2008") for text in found.texts] == ["12.3", "1.23", None, "123"]
    behind = {len(text) - len(text.split(".")[0].rstrip("\u2007\u2008")) for text in found.texts if text}
    assert behind == {3}


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        ([0.8, 0.8, 44.0], "s"),
        ([3.2, 246.0, 1383.0, 3704.0], "samples/s"),
        ([400e-6, 420e-6], "µs"),
        ([117e-6, 0.5e-3, 86e-3], "ms"),
        ([], ""),
        ([None, 0.0], ""),
    ],
)
def test_the_unit_shows_all_values_with_digits_to_spare(values, unit):
    kind = "samples/s" if unit == "samples/s" else "s"
    assert best_unit(values, kind)[1] == unit


def test_alignment_pads_whole_numbers_by_the_point_too():
    assert aligned(["5", "1.25"]) == ["5\u2007\u2007\u2008", "1.25"]
    assert aligned([None, "7"]) == [None, "7"]


def test_percentiles_share_a_unit(tmp_path):
    heads = {head.key: head for head in made(tmp_path).heads}
    assert heads["latency"].unit == heads["p90"].unit == heads["p99"].unit


def test_a_missing_percentile_says_how_many_calls_it_needs(tmp_path):
    line = made(tmp_path, TECHNIQUES[:2], trials=1, rounds=2).lines[0]
    values = {value.key: value for value in line.values}
    assert values["p99"].text is None
    assert values["p99"].note == "too few calls: it needs 662 timed calls, this Cell has 80"


def test_columns_that_nobody_has_are_left_out_but_latency_stays(tmp_path):
    nothing = {"flops_per_sample": None, "achieved_flop_per_s": None, "latency_p99_s": None}
    techniques = [Technique(t.name, t.speed, runtime=t.runtime, columns=nothing) for t in TECHNIQUES[:3]]
    keys = {head.key for head in made(tmp_path, tuple(techniques)).heads}
    assert "flops" not in keys
    assert "rate" not in keys
    assert "p99" in keys


def test_every_row_has_every_column(tmp_path):
    found = made(tmp_path)
    assert all(len(line.values) == len(found.heads) for line in found.lines)
    special = ("qps", "tokens", "throughput", "p50")  # of other scenarios, and of language models only
    known = [column.key for column in COLUMNS if column.key not in special]
    assert [head.key for head in found.heads] == known


def test_bars_hold_estimate_interval_and_baseline_on_one_track(tmp_path):
    for line in made(tmp_path, (*TECHNIQUES, Technique("slow", 0.4))).lines:
        span = line.span
        assert 0 <= span.low <= span.at <= span.high <= 100
        assert span.floor_low <= span.one <= span.floor_high
        assert (span.at > span.one) == (line.record.speedup > 1)


def test_an_interval_that_knows_nothing_does_not_squeeze_the_others(tmp_path):
    techniques = (*TECHNIQUES[:5], Technique("wild", 2.0))
    run = make_run(tmp_path / "run", (Group(),), techniques)
    cell = run.cells[run.cells["technique"] == "wild"]["cell_id"].iloc[0]
    wild = (run.blocks["cell_id"] == cell) & (run.blocks["trial"] == 0)
    run.blocks.loc[wild, "median_s"] *= 1e4
    (board,) = boards(run)
    lines = {line.record.technique: line for line in table(board).lines}
    assert lines["int8-static"].span.at - lines["int8-static"].span.one > 10


def test_best_and_smallest_are_marked(tmp_path):
    lines = {line.record.technique: line for line in made(tmp_path).lines}
    assert [name for name, line in lines.items() if line.best] == ["pruned-50"]
    assert [name for name, line in lines.items() if line.smallest] == ["int8-static"]


def test_one_technique_and_no_speedups_still_make_a_table(tmp_path):
    assert len(made(tmp_path, TECHNIQUES[:1]).lines) == 1
    lines = made(tmp_path / "b", vary("eager", status="failed", reason="boom")).lines
    assert all(line.span is None and line.verdict is None for line in lines)


def test_language_models_have_their_speed_in_tokens_too(tmp_path):
    told = Technique("eager", columns={"tokens_per_sample": 128})
    (line,) = made(tmp_path, (told,)).lines
    values = {value.key: value for value in line.values}
    assert values["tokens"].sort == pytest.approx(128 / values["latency"].sort)
    assert values["tokens"].label.startswith("Tokens, ")


@pytest.mark.parametrize(
    ("group", "key", "shown", "more"),
    [
        (Group(), "latency", {"latency", "p90", "p99"}, False),
        (Group(scenario="offline", batch=256, call_s=21e-3), "throughput", {"throughput"}, True),
        (Group(scenario="server"), "qps", {"qps", "p50", "p90", "p99"}, True),
    ],
)
def test_the_statistic_of_the_speed_up_divides_to_the_speed_up_and_no_other_stands_beside_it(
    tmp_path, group, key, shown, more
):
    # Trials of one arm are slow in some rounds: medians of all its Blocks are another story.
    run = make_run(tmp_path / "run", (group,))
    slow = (run.blocks["arm"] == "subject") & (run.blocks["round"] % 3 == 0)
    run.blocks.loc[slow, ["median_s", "duration_s"]] *= 1.7
    run.info.groups[0].speed = {"latency": "latency", "throughput": "throughput", "qps": "rate"}[key]
    (board,) = boards(run)
    found = table(board)
    speeds = {"latency", "throughput", "qps", "p50", "p90", "p99"}
    assert {head.key for head in found.heads} & speeds == shown
    values = {line.record.technique: {v.key: v.sort for v in line.values}[key] for line in found.lines}
    for line in found.lines:
        ratio = values["eager"] / values[line.record.technique]
        assert line.record.speedup == pytest.approx(1 / ratio if more else ratio)


def test_trials_and_blocks_stand_beside_each_interval(tmp_path):
    lines = {line.record.technique: line for line in made(tmp_path, trials=4, rounds=5).lines}
    assert {line.counted for line in lines.values()} == {"4 Trials, 20 Blocks"}
    assert (lines["compile"].record.speedup_trials, lines["compile"].record.speedup_blocks) == (4, 20)


def test_a_change_is_told_in_the_metrics_own_direction(tmp_path):
    group = Group(metric="max-error", unit="", more_is_better=False)
    lines = {line.record.technique: line for line in made(tmp_path, group=group).lines}
    worse = lines["pruned-int8"]
    assert worse.record.quality_loss == pytest.approx(0.0085)
    assert worse.change.text == "+0.0085"
    assert worse.change.sort < 0  # better is more: best first
    low, high = worse.change.interval.split(" … ")
    assert low.startswith("+0.0")
    assert float(low) < 0.0085 < float(high)
    better = made(tmp_path / "b", group=Group(metric="cosine", unit="")).lines
    texts = {line.record.technique: line.change.text for line in better}
    assert texts["pruned-int8"] == "−0.0085"


def test_headers_say_what_was_timed_in_this_scenario(tmp_path):
    def about(group, **columns):
        techniques = tuple(
            Technique(t.name, t.speed, runtime=t.runtime, columns=columns) for t in TECHNIQUES[:3]
        )
        return {head.key: head.about for head in made(tmp_path / group.scenario, techniques, group).heads}

    assert about(Group())["p99"] == "99th percentile of all calls: time of one call"
    server = about(Group(scenario="server"), qps=900.0)
    assert "(latency of one query since it was due)" in server["latency"]
    assert "with the time between queries" in server["rate"]


def test_quality_and_its_change_have_their_intervals_beside_them(tmp_path):
    for line in made(tmp_path).lines:
        low, high = (float(end) for end in line.quality.interval.split("–"))
        assert low < 100 * line.record.quality < high
        assert bool(line.change.interval) == (line.record.arm != "baseline")
