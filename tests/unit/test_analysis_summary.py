"""The answer in words: what a person reads first must be true and complete, above all when nothing won."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from runs import TECHNIQUES, Group, Technique, comparison, empty_run, make_run, vary

from harness.analysis.compare.leaderboard import Board, boards
from harness.analysis.words import numbers as say
from harness.analysis.words.headline import answers, call_of, conditions, place, trust
from harness.store.info import GroupInfo
from harness.units import say_seconds


def said(tmp_path, techniques=TECHNIQUES, group=None, **kwargs):
    (board,) = boards(make_run(tmp_path / "run", (group or Group(),), techniques, **kwargs))
    return [sentence.plain() for sentence in answers(board)]


def test_names_winner_speed_interval_size_and_cost(tmp_path):
    first, second, third = said(tmp_path, vary("pruned-50", drop=0.0))
    assert first.startswith("Fastest within 0.5 points of the baseline’s 99.10 %: `pruned-50` — 3.66 × (3.")
    assert first.endswith("the baseline’s speed, 31 % of its size, ±0.00 points.")
    assert second.startswith("Smallest: `int8-static` — 26 % of the baseline’s size (109 kB), 3.1")
    assert third.startswith("Faster, but over the budget: `pruned-int8` — 5.4")


def test_names_both_references_where_the_baseline_is_not_the_model_as_given(tmp_path):
    eager = replace(TECHNIQUES[0], columns={"build_details": "[]"})
    techniques = (eager, Technique("onnxruntime", 2.0), Technique("int8", 4.0, families=("quantize",)))
    first = said(tmp_path, techniques, baseline="onnxruntime")[0]
    assert "`int8` — 1.99 × (1.94–2.05)" in first
    assert "the speed of the baseline `onnxruntime`" in first
    assert re.search(r"; (3\.9|4\.0)\d × \([\d.–]+\) the speed of the model as given, `eager`\.", first)


def test_the_best_of_many_that_may_owe_it_to_chance_says_so():
    best = comparison(technique="x", cell_id="x", speedup=1.3, winner_low=0.9, winner_high=1.9,
                      winner_candidates=9, quality=1.0, quality_loss=0.0)  # fmt: skip
    base = comparison(technique="base", cell_id="base", arm="baseline", speedup=1.0)
    group = GroupInfo(group_id="", model="m", workload="w", hardware="h", scenario="single-stream",
                      batch=1, device="cpu", threads=1, baseline="base")  # fmt: skip
    (said, *_) = answers(Board(group, [best, base], [], [], None, True, "x", None, None))
    assert "1.30 × (0.900–1.90, adjusted as the best of 9) the baseline’s speed" in said.plain()
    assert "; as the best of so many it may owe this to chance." in said.plain()


@pytest.mark.parametrize(
    ("group", "told"),
    [
        (Group(), "points of top1 on 2,000 random samples"),
        (Group(metric="cosine", unit=""), " cosine on 2,000 random samples"),
    ],
)
def test_a_winner_on_random_samples_says_on_how_many(tmp_path, group, told):
    known = tuple(replace(t, columns={"random_samples": True}) for t in TECHNIQUES)
    assert told in said(tmp_path / "random", known, group)[0]
    assert "random" not in said(tmp_path / "real", TECHNIQUES, group)[0]


def test_says_when_the_interval_of_the_drop_reaches_beyond_the_budget(tmp_path):
    first = said(tmp_path)[0]
    assert "(a drop of 0.51 is not ruled out)" in first


def test_a_faster_cell_that_is_not_shown_to_hold_the_budget_is_told_with_the_samples_it_takes(tmp_path):
    told = said(tmp_path, quality={"max_drop": 0.5})
    line = next(
        text for text in told if text.startswith("Faster, but not shown to hold the budget: `pruned-50`")
    )
    assert "; 2,000 samples were evaluated, about 2,1" in line


def test_where_no_budget_is_shown_to_be_held_nothing_wins(tmp_path):
    first = said(
        tmp_path,
        tuple(t for t in TECHNIQUES if t.name in (TECHNIQUES[0].name, "pruned-50")),
        quality={"max_drop": 0.5},
    )[0]
    assert first.startswith(
        "No technique is shown to stay within 0.5 points of the baseline’s 99.10 %; fastest is"
    )
    assert "would show it if the loss stays as it is" in first


def test_says_so_when_the_smallest_is_the_fastest(tmp_path):
    assert said(tmp_path, (TECHNIQUES[0], TECHNIQUES[4]))[1:] == ["It is also the smallest."]


@pytest.mark.parametrize(
    ("techniques", "expected"),
    [
        ((Technique("slow", 0.6),), "Nothing is faster than the baseline within 0.5 points"),
        ((Technique("lossy", 3.0, drop=0.2),), "No technique stays within 0.5 points"),
        ((), "Only the baseline was measured"),
        ((Technique("gone", status="failed", reason="boom"),), "Only the baseline was measured"),
    ],
)
def test_is_honest_when_nothing_wins(tmp_path, techniques, expected):
    assert said(tmp_path, (TECHNIQUES[0], *techniques))[0].startswith(expected)


def test_noise_is_inconclusive(tmp_path):
    found = said(tmp_path, (TECHNIQUES[0], Technique("maybe", 1.2)), Group(noise=0.5), trials=2)
    assert "inconclusive: these measurements cannot distinguish it from noise" in found[0]


def test_equal_speed_is_equivalent(tmp_path):
    found = said(tmp_path, (TECHNIQUES[0], Technique("twin", 1.0)), Group(noise=0.002))
    assert found[0].startswith("Nothing is faster than the baseline within 0.5 points")
    assert "equivalent." in found[0]


def test_says_that_quality_was_not_measured(tmp_path):
    first = said(tmp_path, group=Group(quality=None))[0]
    assert first.startswith("Fastest: `pruned-int8`")
    assert first.endswith("quality not measured.")


def test_without_baseline_or_measurement_it_claims_nothing(tmp_path):
    failed = vary("eager", status="failed", reason="boom")
    why = "There are no speed-ups: the baseline, `eager`, failed (build): boom."
    assert said(tmp_path, failed) == [why]
    (board,) = boards(make_run(tmp_path / "c", (Group(),), vary("eager", audit="failed")))
    assert [s.plain() for s in answers(board)] == [
        "There are no speed-ups: the baseline, `eager`, failed its audit: no reason recorded."
    ]
    nothing = (Technique("eager", status="skipped", reason="no GPU"),)
    (board,) = boards(make_run(tmp_path / "b", (Group(),), nothing))
    assert [s.plain() for s in answers(board)] == ["Nothing was measured here."]


def test_names_cannot_break_out_of_markdown(tmp_path):
    hostile = Technique("a`b|c <img>\n# d", 2.0)
    (board,) = boards(make_run(tmp_path / "run", (Group(),), (TECHNIQUES[0], hostile)))
    text = answers(board)[0].markdown()
    assert "`aˋb¦c <img> # d`" in text
    assert "\n" not in text
    assert "|" not in text


def test_trust_line_and_conditions(tmp_path):
    run = make_run(tmp_path / "run")
    assert trust(run.info) == "measured 61 % of 4 m 02 s"
    assert trust(empty_run(tmp_path / "e", times={"wall_s": 0.0}).info) == "no time was recorded"
    online, bulk = run.info.groups
    older = online.model_copy(update={"conditions": "", "call": ""})
    assert conditions(older) == "single-stream, batch 1; CPU, 2 threads"
    assert call_of(older) == "time of one call"
    assert place(online) == "cnn · online · cpu"
    assert conditions(online) == "one sample a call, one call after the other; CPU, 2 threads"
    assert conditions(bulk).startswith("as many samples as possible, 256 samples a call")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (say.quantity(0.00213, "s"), "2.13 ms"),
        (say.quantity(0.0, "s"), "0 ns"),
        (say.quantity(999.9e-6, "s"), "1.00 ms"),
        (say.quantity(None, "bytes"), "–"),
        (say.quantity(1_234_567, "bytes"), "1.23 MB"),
        (say.quantity(12_300, "count"), "12.3 k"),
        (say.factor(3.1234), "3.12"),
        (say.factor(0.00001), "1.0e-05"),
        (say.factors(2.871, 2.949), "2.87–2.95"),
        (say.factors(1.3161, 1.3204), "1.316–1.320"),
        (say.factors(0.0, 3.0), "unknown"),
        (say.factors(None, 3.0), "unknown"),
        (say.percent(0.982), "98.2 %"),
        (say.percent(0.26), "26 %"),
        (say.signed(-0.04), "−0.04"),
        (say.signed(0.001), "±0.00"),
        (say.points(1, "pt"), "1 point"),
        (say_seconds(242), "4 m 02 s"),
        (say_seconds(3.21), "3.2 s"),
        (say_seconds(3700), "1 h 02 m"),
        (say.short("abcdefghij", 5), "ab…ij"),
        (say.short("a\u202eb\tc\n", 9), "a b c"),
    ],
)
def test_numbers_read_well(text, expected):
    assert text == expected


def bits(name, speed, drop):
    less = {"quality_metric": "bits-per-byte", "quality_unit": "bits", "quality_higher_is_better": False}
    return Technique(name, speed, drop=drop, columns={**less, "tokens_per_sample": 256})


def test_where_less_is_better_a_change_keeps_the_metrics_own_sign(tmp_path):
    run = make_run(
        tmp_path / "run",
        (Group(),),
        (bits("eager", 1.0, 0.0), bits("better", 2.0, 0.02)),
        quality={"by_metric": {"bits-per-byte": 0.01}},
    )
    (board,) = boards(run)
    row = next(row for row in board.rows if row.technique == "better")
    assert row.quality_loss < 0
    assert row.within_budget is True
    assert board.less_is_better
    first = answers(board)[0].plain()
    assert first.startswith("Fastest within 0.01 bits of the baseline’s 0.9")
    assert "−0.0200 bits" in first
    assert say.change_words(replace(row, quality_loss=0.0123)) == "+0.0123 bits"


def test_a_change_is_written_in_the_unit_of_its_metric():
    assert say.change_words(comparison(quality_loss=0.5, quality_unit="pt")) == "−0.50 points"
    assert say.change_words(comparison(quality_loss=0.00031, quality_unit="")) == "−0.0003"
    assert say.change(comparison(), None) is None
    assert say.change_text(comparison(quality_unit="pt"), None) == ""
    assert say.score(2.1234, "bits") == "2.123 bits"
