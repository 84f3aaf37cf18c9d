"""Comparison: ratios inside a Group only, paired quality, verdicts, and honesty where it is missing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from runs import TECHNIQUES, Group, Technique, empty_run, make_run, vary

from harness.analysis.compare.comparison import UNPAIRED, compare, to_frame
from harness.analysis.compare.leaderboard import boards
from harness.analysis.words.causes import causes
from harness.store.schema import columns


def rows(run):
    return {row.technique: row for row in compare(run)}


def test_finds_the_true_speedups_and_puts_the_baseline_at_one(tmp_path):
    found = rows(make_run(tmp_path / "run", (Group(),)))
    for technique in TECHNIQUES[1:]:
        row = found[technique.name]
        assert row.speedup == pytest.approx(technique.speed, rel=0.05)
        assert row.speedup_low < row.speedup < row.speedup_high
        assert row.verdict == "faster"
    assert found["eager"].speedup == 1.0
    assert found["eager"].verdict == "baseline"


def test_single_stream_compares_median_calls_and_offline_compares_throughput(tmp_path):
    run = make_run(tmp_path / "run", (Group(), Group(workload="bulk", scenario="offline")))
    blocks = run.blocks
    slow = blocks["cell_id"].isin(run.cells[run.cells["technique"] == "int8-static"]["cell_id"])
    blocks.loc[slow, "duration_s"] *= 2.0  # pauses between calls: the median call does not see them
    found = {row.workload: row.speedup for row in compare(run) if row.technique == "int8-static"}
    assert found["online"] == pytest.approx(3.12, rel=0.05)
    assert found["bulk"] == pytest.approx(3.12 / 2, rel=0.05)


def test_ratios_are_never_taken_across_groups(tmp_path):
    groups = (Group(), Group(model="big", call_s=0.01))
    found = compare(make_run(tmp_path / "run", groups, TECHNIQUES[:3]))
    for group in {row.group_id for row in found}:
        assert {row.verdict for row in found if row.group_id == group} == {"baseline", "faster"}
    compiled = [row.speedup for row in found if row.technique == "compile"]
    assert compiled == pytest.approx([1.62, 1.62], rel=0.05)


def test_drop_is_paired_and_in_points_and_positive_where_quality_is_lost(tmp_path):
    row = rows(make_run(tmp_path / "run", (Group(),)))["pruned-int8"]
    assert row.quality_loss == pytest.approx(0.85)
    assert row.quality_loss_low < 0.85 < row.quality_loss_high
    assert row.discordant == 17
    assert row.quality_loss_p <= row.quality_loss_p_adjusted < 0.05


def test_drop_uses_only_items_that_both_answered(tmp_path):
    run = make_run(tmp_path / "run", (Group(),), TECHNIQUES[:2])
    cell = run.cells[run.cells["technique"] == "compile"]["cell_id"].iloc[0]
    scores = run.scores
    kept = scores[(scores["cell_id"] != cell) | (scores["sample"] < 50)].sample(frac=1, random_state=1)
    run.__dict__["scores"] = kept
    assert rows(run)["compile"].quality_loss == 0.0


def test_a_metric_without_points_is_compared_in_its_own_unit(tmp_path):
    techniques = vary("pruned-int8", columns={"quality_unit": "cosine"})
    assert rows(make_run(tmp_path / "run", (Group(),), techniques))[
        "pruned-int8"
    ].quality_loss == pytest.approx(0.0085)


def test_p_values_are_corrected_over_all_groups_of_the_run(tmp_path):
    found = compare(make_run(tmp_path / "b", (Group(), Group(model="m2")), TECHNIQUES[:3]))
    known = sorted((row for row in found if row.speedup_p is not None), key=lambda row: row.speedup_p)
    raw = [row.speedup_p for row in known]
    assert len(raw) == 4
    by_hand = [min(raw[j] * 4 / (j + 1) for j in range(i, 4)) for i in range(4)]
    assert [row.speedup_p_adjusted for row in known] == pytest.approx(by_hand)


def test_without_a_shadow_the_floor_is_missing_and_said_so(tmp_path):
    found = rows(make_run(tmp_path / "run", (Group(),), control=False))
    assert found["compile"].floor is None
    assert any("no control was measured" in note for note in found["compile"].notes)
    assert found["compile"].verdict == "faster"


def test_a_shadow_far_off_makes_small_gains_ambiguous_or_same(tmp_path):
    run = make_run(tmp_path / "run", (Group(),), (*TECHNIQUES[:1], Technique("tiny", 1.05)))
    run.blocks.loc[run.blocks["arm"] == "control", "median_s"] *= 1.3
    row = rows(run)["tiny"]
    assert row.floor > 0.25
    assert row.verdict in ("equivalent", "inconclusive")


def test_identical_code_is_not_called_faster(tmp_path):
    techniques = (TECHNIQUES[0], *(Technique(f"copy-{index}") for index in range(12)))
    found = compare(make_run(tmp_path / "run", (Group(),), techniques, seed=5))
    assert not {row.verdict for row in found} & {"faster", "slower"}


def test_one_trial_is_noted_and_never_the_same(tmp_path):
    row = rows(make_run(tmp_path / "run", (Group(),), trials=1))["compile"]
    assert any("one Trial only" in note for note in row.notes)


def test_a_speedup_of_other_moments_than_the_baselines_is_a_warning(tmp_path):
    run = make_run(tmp_path / "run", (Group(),), TECHNIQUES[:3])
    row = rows(run)["compile"]
    assert UNPAIRED not in row.notes
    run.blocks.loc[run.blocks["cell_id"] == row.cell_id, "sitting"] = "another"
    found = rows(run)
    assert UNPAIRED in found["compile"].notes
    assert [name for name, other in found.items() if UNPAIRED in other.notes] == ["compile"]
    assert [cause.line() for cause in causes(boards(run))] == [
        f"1 Cell: {UNPAIRED} — cnn / compile / online / cpu"
    ]


def test_a_failed_audit_is_off_the_board(tmp_path):
    found = rows(make_run(tmp_path / "run", (Group(),), vary("int8-static", audit="failed")))
    assert not found["int8-static"].on_board
    assert any("audit" in note for note in found["int8-static"].notes)
    assert found["compile"].on_board


def test_what_is_off_the_board_does_not_loosen_the_correction_for_the_rest(tmp_path):
    changed = vary("int8-static", audit="failed")
    found = rows(make_run(tmp_path / "run", (Group(),), changed))
    assert found["int8-static"].speedup_p_adjusted is None
    listed = [row for name, row in found.items() if name not in ("eager", "int8-static")]
    raw = sorted(row.speedup_p for row in listed)
    n = len(raw)
    by_hand = [min(raw[j] * n / (j + 1) for j in range(i, n)) for i in range(n)]
    assert sorted(row.speedup_p_adjusted for row in listed) == pytest.approx(by_hand)


@pytest.mark.parametrize("change", [{"status": "failed", "reason": "boom"}, {"audit": "failed"}])
def test_without_a_sound_baseline_there_are_no_ratios(tmp_path, change):
    found = rows(make_run(tmp_path / "run", (Group(),), vary("eager", **change)))
    assert found["compile"].speedup is None
    assert found["compile"].verdict is None
    assert any("baseline" in note for note in found["compile"].notes)


def test_missing_quality_leaves_the_drop_missing_and_speed_unharmed(tmp_path):
    row = rows(make_run(tmp_path / "run", (Group(quality=None),)))["int8-static"]
    assert row.quality_loss is None
    assert row.speedup == pytest.approx(3.12, rel=0.05)


def test_a_trial_that_only_one_arm_has_is_left_out(tmp_path):
    run = make_run(tmp_path / "run", (Group(),), TECHNIQUES[:2], trials=4)
    lost = (run.blocks["trial"] == 1) & (run.blocks["arm"] == "subject")
    run.__dict__["blocks"] = run.blocks[~lost]
    row = rows(run)["compile"]
    assert row.speedup_method == "t over 3 paired Trials"
    assert row.speedup == pytest.approx(1.62, rel=0.05)


def test_blocks_that_make_no_sense_are_left_out(tmp_path):
    run = make_run(tmp_path / "run", (Group(),), TECHNIQUES[:2])
    run.blocks.loc[run.blocks.index[:3], "median_s"] = [np.nan, 0.0, -1.0]
    assert rows(run)["compile"].speedup == pytest.approx(1.62, rel=0.05)
    run.__dict__["blocks"] = run.blocks.iloc[:0]
    assert rows(run)["compile"].speedup is None


def test_break_even_says_when_a_longer_build_is_paid_back(tmp_path):
    found = rows(make_run(tmp_path / "run", (Group(),), (*TECHNIQUES, Technique("slow", 0.5, build_s=9.0))))
    row, base = found["compile"], found["eager"]
    saved = base.seconds_per_sample - row.seconds_per_sample
    assert row.break_even_samples == pytest.approx((41.0 - 0.05) / saved, rel=0.01)
    assert found["slow"].break_even_samples is None
    quick = rows(make_run(tmp_path / "b", (Group(),), vary("compile", build_s=0.01)))["compile"]
    assert quick.break_even_samples == 0.0


def test_nothing_is_paid_back_that_is_not_faster_beside_it(tmp_path):
    techniques = (*TECHNIQUES[:1], Technique("slow", 0.9, build_s=0.0), Technique("quick", 2.0, build_s=0.0))
    found = rows(make_run(tmp_path / "run", (Group(),), techniques))
    assert found["slow"].break_even_samples is None
    assert found["quick"].break_even_samples == 0.0


def test_an_error_that_grows_is_a_drop(tmp_path):
    less = {"quality_metric": "max-error", "quality_unit": "", "quality_higher_is_better": False}
    found = rows(make_run(tmp_path / "run", (Group(),), vary("pruned-int8", columns=less)))
    plain = rows(make_run(tmp_path / "plain", (Group(),)))["pruned-int8"]
    assert found["pruned-int8"].quality_loss == pytest.approx(-plain.quality_loss / 100)
    assert (
        found["pruned-int8"].quality_loss_low
        <= found["pruned-int8"].quality_loss
        <= found["pruned-int8"].quality_loss_high
    )


def test_size_and_memory_ratios(tmp_path):
    row = rows(make_run(tmp_path / "run", (Group(),)))["int8-static"]
    assert row.size_ratio == pytest.approx(0.26, rel=0.01)
    assert 0 < row.memory_ratio < 1


def test_an_empty_run_and_one_where_all_failed_have_no_comparisons(tmp_path):
    assert compare(empty_run(tmp_path / "a")) == []
    failed = tuple(replace(t, status="failed", reason="boom") for t in TECHNIQUES)
    assert compare(make_run(tmp_path / "b", (Group(),), failed)) == []


def test_a_frame_has_a_row_for_each_comparison_and_a_column_for_each_attribute(tmp_path):
    found = compare(make_run(tmp_path / "run", (Group(),)))
    frame = to_frame(found)
    assert frame["technique"].tolist() == [row.technique for row in found]
    assert frame["speedup"].tolist() == [row.speedup for row in found]
    names = [column.name for column in columns(type(found[0]))]
    assert list(frame.columns) == list(to_frame([]).columns) == names


def test_numbers_that_are_none_in_a_comparison_are_missing(tmp_path):
    techniques = vary("compile", columns={"latency_min_s": float("nan"), "latency_std_s": float("inf")})
    row = rows(make_run(tmp_path / "run", (Group(),), techniques))["compile"]
    assert (row.latency_min_s, row.latency_std_s) == (None, None)
    assert isinstance(row.calls, int)
