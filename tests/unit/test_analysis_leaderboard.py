"""Leaderboard: ranks, the Pareto front and the budget, each held against a brute-force oracle."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import TECHNIQUES, Group, Technique, empty_run, make_run, vary

from harness.analysis.compare.budget import budget, budget_state
from harness.analysis.compare.comparison import Comparison, compare
from harness.analysis.compare.leaderboard import boards, pareto_front
from harness.stats.planning import samples_needed

COARSE = st.one_of(st.integers(0, 5).map(float), st.just(float("nan")))


@given(st.lists(st.tuples(COARSE, COARSE), max_size=25))
def test_pareto_front_is_what_comparing_all_pairs_finds(points):
    gain, cost = [p[0] for p in points], [p[1] for p in points]
    expected = []
    for g, c in points:
        beaten = any(
            other_g >= g and other_c <= c and (other_g > g or other_c < c) for other_g, other_c in points
        )
        expected.append(not beaten and not np.isnan(g) and not np.isnan(c))
    assert pareto_front(gain, cost).tolist() == expected


def test_equal_points_share_the_front():
    assert pareto_front([2.0, 2.0, 1.0], [0.1, 0.1, 0.1]).tolist() == [True, True, False]
    assert pareto_front([], []).tolist() == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"max_drop": 0.5}, 0.5),
        ({"max_drop": "0.5pt"}, 0.5),
        ({"max_drop": "1e-2 pt"}, 0.01),
        ({"max_drop": 0}, 0.0),
        ({}, None),
        ({"max_drop": None}, None),
        ({"max_drop": "much"}, None),
    ],
)
def test_budget_is_read_from_numbers_and_text(tmp_path, given, expected):
    assert budget(empty_run(tmp_path / "run", quality=given).info) == expected


def test_best_and_smallest_are_what_a_plain_search_finds(tmp_path):
    (board,) = boards(make_run(tmp_path / "run", (Group(),)))
    allowed = [row for row in board.rows if row.quality_loss <= 0.5]
    faster = [row for row in allowed if row.verdict == "faster"]
    assert board.best == max(faster, key=lambda row: row.speedup).cell_id
    assert board.smallest == min(allowed, key=lambda row: row.artifact_bytes).cell_id
    assert board.row(board.best).technique == "pruned-50"
    assert board.row(board.smallest).technique == "int8-static"


def test_only_a_cell_that_holds_the_budget_by_its_whole_interval_wins(tmp_path):
    (board,) = boards(make_run(tmp_path / "run", (Group(),), quality={"max_drop": 0.5}))
    held = [row for row in board.rows if row.arm == "baseline" or row.quality_loss_high <= 0.5]
    faster = [row for row in held if row.verdict == "faster"]
    assert board.best == max(faster, key=lambda row: row.speedup).cell_id
    assert board.row(board.best).technique == "int8-static"
    (close,) = [row for row in board.rows if row.technique == "pruned-50"]
    assert (close.budget, close.within_budget) == ("not shown", None)
    assert close.samples_needed > close.evaluation_samples


def test_ranks_fall_with_speed_and_ties_go_by_name(tmp_path):
    (board,) = boards(make_run(tmp_path / "run", (Group(),)))
    speeds = [row.speedup for row in board.rows]
    assert speeds == sorted(speeds, reverse=True)
    assert [row.rank for row in board.rows] == list(range(1, len(speeds) + 1))


def test_without_quality_the_fastest_of_all_is_best(tmp_path):
    (board,) = boards(make_run(tmp_path / "run", (Group(quality=None),)))
    assert not board.judged
    assert board.row(board.best).technique == "pruned-int8"
    assert not any(row.pareto for row in board.rows)


def test_what_answers_no_numbers_wins_nothing_without_a_budget_either(tmp_path):
    broken = Technique("broken", 9.0, columns={"quality": float("inf")})
    group = Group(metric="max-error", unit="", more_is_better=False)
    (board,) = boards(make_run(tmp_path / "run", (group,), (*TECHNIQUES, broken)))
    assert not board.limited
    assert board.rows[0].technique == "broken"
    assert board.row(board.best).technique == "pruned-int8"


def test_a_budget_of_nothing_lost_keeps_only_the_faithful(tmp_path):
    (board,) = boards(make_run(tmp_path / "run", (Group(),), quality={"max_drop": 0}))
    assert board.row(board.best).technique == "replicas-2"


def test_no_winner_where_nothing_is_faster(tmp_path):
    techniques = (TECHNIQUES[0], Technique("same"), Technique("slower", 0.7))
    (board,) = boards(make_run(tmp_path / "run", (Group(),), techniques))
    assert board.best is None
    assert board.smallest is None


def test_failed_audits_and_failures_are_kept_beside_the_board_with_reasons(tmp_path):
    techniques = (
        *vary("int8-static", audit="failed"),
        Technique("gone", status="skipped", reason="no GPU here"),
        Technique("broken", status="failed", reason="boom"),
    )
    (board,) = boards(make_run(tmp_path / "run", (Group(),), techniques))
    assert [row.technique for row in board.off] == ["int8-static"]
    assert [row.technique for row in board.left_out] == ["broken", "gone"]
    assert [row.reason for row in board.left_out] == ["boom", "no GPU here"]
    assert "int8-static" not in {row.technique for row in board.rows}


def test_groups_that_only_the_records_know_still_get_a_board(tmp_path):
    run = make_run(tmp_path / "run", (Group(),))
    run.info.groups.clear()
    (board,) = boards(run)
    assert board.group.model == "cnn"
    assert board.best is not None


def test_empty_and_all_failed(tmp_path):
    assert boards(empty_run(tmp_path / "a")) == []
    failed = tuple(replace(t, status="failed", reason="boom") for t in TECHNIQUES)
    (board,) = boards(make_run(tmp_path / "b", (Group(),), failed))
    assert board.rows == []
    assert board.best is None
    assert board.baseline is None
    assert board.floor is None
    assert len(board.left_out) == len(TECHNIQUES)


def test_points_are_no_budget_for_a_metric_of_another_unit(tmp_path):
    cosine = {"quality_metric": "cosine", "quality_unit": ""}
    techniques = [Technique(t.name, t.speed, columns=cosine) for t in TECHNIQUES[:4]]
    (board,) = boards(make_run(tmp_path / "a", (Group(),), techniques, quality={"max_drop": 0.5}))
    assert board.max_drop is None
    given = {"max_drop": 0.5, "by_metric": {"cosine": 0.01}}
    (board,) = boards(make_run(tmp_path / "b", (Group(),), techniques, quality=given))
    assert board.max_drop == 0.01


def test_what_is_over_the_budget_is_not_on_the_front(tmp_path):
    (board,) = boards(make_run(tmp_path / "run", (Group(),)))
    over = [row for row in board.rows if row.within_budget is False]
    assert over
    assert not any(row.pareto for row in over)
    assert any(row.pareto for row in board.rows)


def test_a_rival_is_named_only_where_it_cannot_be_told_apart(tmp_path):
    close = (TECHNIQUES[0], Technique("a", 2.0), Technique("b", 2.0), Technique("c", 1.2))
    (board,) = boards(make_run(tmp_path / "close", (Group(),), close))
    assert {board.row(board.best).technique, board.row(board.rival).technique} == {"a", "b"}
    apart = (TECHNIQUES[0], Technique("a", 2.0), Technique("b", 3.0))
    (board,) = boards(make_run(tmp_path / "apart", (Group(),), apart))
    assert (board.row(board.best).technique, board.rival) == ("b", None)


def test_a_rival_that_was_faster_in_the_trials_of_both_is_named(tmp_path):
    run = make_run(tmp_path, (Group(),), (TECHNIQUES[0], Technique("a", 1.9), Technique("b", 2.0)), trials=12)
    late = run.blocks["trial"] >= 6  # b ended before; then the baseline, and only it, became slower
    run.blocks.loc[late & run.blocks["arm"].isin(("baseline", "control")), "median_s"] *= 1.4
    b = run.blocks["cell_id"] == run.cells[run.cells["technique"] == "b"]["cell_id"].iloc[0]
    run.blocks.loc[late & b, "median_s"] = math.nan
    (board,) = boards(run)
    assert board.row(board.best).speedup == pytest.approx(1.9 * math.sqrt(1.4), rel=0.02)
    assert board.row(board.rival).technique == "b"


def test_the_winner_of_many_has_an_interval_adjusted_for_the_choice_and_the_others_their_own(tmp_path):
    many = (TECHNIQUES[0], *(Technique(f"t{index}", 2.0) for index in range(6)))
    (board,) = boards(make_run(tmp_path / "many", (Group(),), many))
    best = board.row(board.best)
    assert best.winner_candidates == 6
    # c(6 arms, 2 degrees of freedom, 95.5 %) is 6.55; Student's t is 4.30.
    wider = math.log(best.winner_high / best.winner_low) / math.log(best.speedup_high / best.speedup_low)
    assert wider == pytest.approx(6.55 / 4.30, rel=0.01)
    assert best.interval == (best.winner_low, best.winner_high)
    others = [row for row in board.rows if row is not best]
    assert all(row.winner_candidates is None for row in others)
    assert all(row.interval == (row.speedup_low, row.speedup_high) for row in others)


def test_a_clear_winner_keeps_nearly_its_own_interval(tmp_path):
    two = (TECHNIQUES[0], Technique("slow", 1.1), Technique("fast", 30.0))
    (board,) = boards(make_run(tmp_path / "run", (Group(noise=0.002),), two))
    best = board.row(board.best)
    assert best.winner_candidates == 1
    wider = math.log(best.winner_high / best.winner_low) / math.log(best.speedup_high / best.speedup_low)
    assert wider == pytest.approx(1.057, abs=0.005)  # t(0.9775, 2) / t(0.975, 2)


def test_the_winner_is_compared_with_the_model_as_given_where_the_baseline_is_another(tmp_path):
    eager = replace(TECHNIQUES[0], columns={"build_details": "[]"})
    techniques = (eager, Technique("onnxruntime", 2.0), Technique("int8", 4.0, families=("quantize",)))
    (board,) = boards(make_run(tmp_path / "a", (Group(),), techniques, baseline="onnxruntime"))
    assert board.row(board.best).speedup == pytest.approx(2.0, rel=0.03)
    assert (board.given.technique, board.given.speedup) == ("eager", pytest.approx(4.0, rel=0.03))
    assert board.given.interval.low < board.given.speedup < board.given.interval.high
    (board,) = boards(make_run(tmp_path / "b", (Group(),), techniques))  # eager is the baseline
    assert board.given is None
    (board,) = boards(
        make_run(
            tmp_path / "c",
            (Group(),),
            (Technique("onnxruntime"), Technique("x", 2.0)),
            baseline="onnxruntime",
        )
    )
    assert board.given is None


def test_two_that_differ_by_less_than_identical_code_are_not_told_apart(tmp_path):
    run = make_run(tmp_path / "run", (Group(),), (TECHNIQUES[0], Technique("a", 2.0), Technique("b", 3.0)))
    for floor, rival in ((0.4, None), (0.6, "a")):
        (board,) = boards(run, [replace(row, floor=floor) for row in compare(run)])
        found = board.row(board.rival)
        assert (found and found.technique) == rival


def row(**found):
    names = dict.fromkeys(("group_id", "model", "technique", "workload", "hardware"), "x")
    return Comparison(cell_id="c", arm="subject", status="measured", **names, **found)


@pytest.mark.parametrize(
    ("low", "loss", "high", "discordant", "samples", "state", "by_point"),
    [
        (0.1, 0.3, 0.5, 9, 256, "held", "held"),
        (0.1, 0.3, 0.51, 9, 256, "not shown", "held"),
        (0.4, 0.6, 0.8, 9, 256, "not shown", "broken"),
        (0.51, 0.6, 0.7, 9, 256, "broken", "broken"),
        (-1.5, 0.0, 1.5, 0, 256, "held", "held"),  # no sample differs
        (-32.0, 0.0, 32.0, 0, 8, "not shown", "held"),  # none of too few
        (-1.5, 0.0, 1.5, 2, 256, "not shown", "held"),  # one lost, one gained
        (None, 0.1, None, 1, 1, "not shown", "held"),  # a single sample has no interval
    ],
)
def test_a_budget_is_held_by_the_whole_interval(low, loss, high, discordant, samples, state, by_point):
    one = row(
        quality_loss=loss,
        quality_loss_low=low,
        quality_loss_high=high,
        discordant=discordant,
        evaluation_samples=samples,
    )
    assert budget_state(one, 0.5) == state
    assert budget_state(one, 0.5, "point") == by_point
    assert budget_state(one, None) is None
    assert budget_state(row(), 0.5) is None


def test_the_samples_that_would_show_a_held_budget_make_its_interval_just_narrow_enough():
    n = samples_needed(1000, 0.1, 0.9, 0.5)
    assert n == 4000  # the distance to the upper end must halve
    assert samples_needed(1000, 0.5, 0.9, 0.5) is None
    assert samples_needed(1000, 0.1, float("inf"), 0.5) is None
