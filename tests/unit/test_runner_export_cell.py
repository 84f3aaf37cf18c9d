"""Which Cell is exported, what its card says of the measurement, and when it cannot be exported."""

from __future__ import annotations

import json

import pytest
from runs import TECHNIQUES, Group, Technique, make_run

from harness.analysis.compare.leaderboard import boards
from harness.analysis.words.model_card import card, title
from harness.artifacts.cache import Cache
from harness.commands.export_model import _search_path, chosen
from harness.errors import BuildError, HarnessError
from harness.runner.export.cell import export_cell

BUILT = {
    "artifact_key": "k",
    "source_key": "s",
    "data_key": "d",
    "pipeline": json.dumps(
        [{"step": "quantize/static"}, {"runtime": "onnxruntime", "free_dimensions": False}]
    ),
    "build_details": json.dumps([{"step": "export-onnx"}, {"step": "quantize/static"}]),
}


def made(folder, **info):
    techniques = (
        Technique("eager", runtime="torch-eager"),
        Technique("onnxruntime", 2.4),
        Technique("int8", 4.0, 0.26, 0.0, ("quantize",), columns=BUILT),
        Technique("replicas-2", 3.0, replicas=2),
        Technique("gone", status="skipped", reason="no such library"),
    )
    return make_run(folder / "run", (Group(),), techniques, **info)


def one(run, technique):
    (board,) = boards(run)
    return board, next(row for row in [*board.rows, *board.left_out] if row.technique == technique)


def test_the_winner_is_the_fastest_within_the_budget(tmp_path):
    run = made(tmp_path)
    assert chosen("winner", boards(run), run)[1].technique == "int8"
    board, row = chosen("replicas-2", boards(run), run)
    assert (row.technique, board.group.group_id) == ("replicas-2", row.group_id)


def test_where_there_are_several_winners_or_none_the_choice_is_told(tmp_path):
    several = make_run(tmp_path / "several", (Group(), Group(model="other")), TECHNIQUES)
    with pytest.raises(HarnessError, match=r"a winner in 2 Groups: --cell one of .*other / "):
        chosen("winner", boards(several), several)
    none = make_run(tmp_path / "none", (Group(),), (Technique("eager"), Technique("slow", 0.5)))
    with pytest.raises(HarnessError, match=r"no winner; choose a Cell with --cell, one of .*slow"):
        chosen("winner", boards(none), none)


def test_the_models_own_code_is_looked_for_beside_the_suite_that_the_command_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = made(tmp_path, suite_file="mine.yaml", command="harness run 'my nets/mine.yaml' --time 5m")
    assert _search_path(run, None) == (str(tmp_path / "my nets"), str(tmp_path))
    assert _search_path(run, tmp_path / "code") == (str(tmp_path / "code"),)


def test_the_card_says_what_was_measured_where_and_with_what(tmp_path):
    settings = {"environment": {"ONEDNN_VERBOSE": "0"}}
    run = made(tmp_path, versions={"onnxruntime": "1.32.0", "numpy": "2.4"}, settings=settings)
    board, row = one(run, "int8")
    text = "\n".join(card(row, board, run.info, "THE-RUN", ("onnxruntime",)))
    assert title(row) == "cnn: int8 in onnxruntime"
    assert "4.0" in text or "3.9" in text
    assert "the baseline’s speed, 26 % of its size" in text
    assert "The baseline is eager in torch-eager." in text
    assert "CPU, 2 threads; median latency" in text
    assert "Run: THE-RUN, suite " in text
    assert "Built by: export-onnx, quantize/static." in text
    assert "onnxruntime 1.32.0, numpy 2.4" in text
    assert "ONEDNN_VERBOSE=0" in text
    assert "processes" not in text


def test_the_card_of_a_replicated_model_says_that_one_session_is_not_that_fast(tmp_path):
    run = made(tmp_path)
    board, row = one(run, "replicas-2")
    assert "the speed is that of 2 processes" in card(row, board, run.info, "run", ())[-1]


def test_a_run_without_git_says_so(tmp_path):
    run = made(tmp_path, repositories=[], commit=None)
    board, row = one(run, "int8")
    assert "Commit: unknown" in "\n".join(card(row, board, run.info, "run", ()))


def test_what_was_not_built_and_runs_of_an_older_harness_are_refused(tmp_path):
    run = made(tmp_path)
    for technique, reason in (
        ("gone", "it was not built"),
        ("onnxruntime", "an older harness made this Run"),
    ):
        with pytest.raises(HarnessError, match=rf"{technique} .*cannot be exported|{reason}") as error:
            export_cell(run, *one(run, technique), tmp_path / "out", Cache(tmp_path / "cache"))
        assert reason in str(error.value)


def test_an_artifact_that_left_the_cache_is_told_with_the_command_that_makes_it_again(tmp_path):
    run = made(tmp_path, command="harness run mine.yaml")
    with pytest.raises(BuildError, match=r"cache .*does not hold.*measure again: harness run mine\.yaml"):
        export_cell(run, *one(run, "int8"), tmp_path / "out", Cache(tmp_path / "cache"))
    assert not (tmp_path / "out").exists()
