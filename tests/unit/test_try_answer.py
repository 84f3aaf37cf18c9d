"""The sentence that ends `harness try`, and which Cells may win while it measures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from runs import TECHNIQUES, Group, Technique, make_run

from harness.analysis.compare.leaderboard import Board, boards
from harness.runner.experiment.losers import Contenders
from harness.try_model.answer import answer, conditions_of, contenders, winner
from harness.try_model.candidates import GOALS

LATENCY, SIZE, MEMORY = GOALS["latency"], GOALS["size"], GOALS["memory"]
BASE = Technique("onnxruntime")
FAST = Technique("int8-static", 2.1, 0.26, 0.0, ("quantize",))


def made(folder: Path, *techniques: Technique, noise: float = 0.01, **info: Any) -> Board:
    run = make_run(folder, (Group(noise=noise),), techniques, baseline="onnxruntime", **info)
    (board,) = boards(run)
    return board


def test_the_winner_is_told_with_its_adjusted_interval_quality_and_size(tmp_path: Path) -> None:
    board = made(tmp_path, BASE, FAST, Technique("openvino", 2.08, runtime="openvino"))
    best = board.row(board.best)
    assert best is not None and best.winner_low is not None and best.winner_high is not None
    said = answer(board, LATENCY).plain()
    start = f"`{best.technique}` in ONNX Runtime is {best.speedup:.2f} × ("
    if best.technique == "openvino":
        start = start.replace("ONNX Runtime", "OpenVINO")
    assert said.startswith(start)
    low, high = (f"{value:.2f}" for value in (best.winner_low, best.winner_high))
    assert f"({low}–{high}) faster than your model in ONNX Runtime, top1 99." in said


def test_the_size_is_told_as_a_factor(tmp_path: Path) -> None:
    assert ", size ÷ 3.85." in answer(made(tmp_path / "a", BASE, FAST), LATENCY).plain()
    larger = Technique("big", 2.0, 1.9)
    assert ", size × 1.90." in answer(made(tmp_path / "b", BASE, larger), LATENCY).plain()
    same = Technique("same", 2.0, 1.0)
    assert ", the same size." in answer(made(tmp_path / "c", BASE, same), LATENCY).plain()


def test_a_loss_that_is_not_ruled_out_is_told(tmp_path: Path) -> None:
    lossy = Technique("int8", 2.0, 0.26, 0.004, ("quantize",))
    board = made(tmp_path, BASE, lossy)
    said = answer(board, LATENCY).plain()
    assert "(−0.40 points); that it loses at most 0.5 points is not shown: " in said
    rows = [replace(row, samples_needed=8200 if row.arm != "baseline" else None) for row in board.rows]
    said = answer(replace(board, rows=rows), LATENCY).plain()
    assert "; about 8,200 samples would show it" in said


def test_a_rival_and_too_few_trials_are_told(tmp_path: Path) -> None:
    twin = Technique("twin", 2.1, 0.3)
    board = made(tmp_path / "a", BASE, FAST, twin, Technique("other", 1.2))
    names = {"int8-static", "twin"}
    best, rival = board.row(board.best), board.row(board.rival)
    assert best is not None and rival is not None and {best.technique, rival.technique} == names
    said = answer(board, LATENCY).plain()
    assert said.endswith(f"; this Run cannot distinguish it from `{rival.technique}`.")
    said = answer(made(tmp_path / "b", BASE, FAST, trials=2, noise=0.001), LATENCY).plain()
    assert " × (only 2 Trials: no interval) faster than" in said and said.endswith("; give it more --time.")
    assert "Trials" not in answer(made(tmp_path / "c", BASE, FAST), LATENCY).plain()
    slow = Technique("openvino", 0.9, runtime="openvino")
    said = answer(made(tmp_path / "d", BASE, slow, trials=1), LATENCY).plain()
    assert said.endswith("; closest is `openvino`, with only 1 Trial: no interval; give it more --time.")


def test_nothing_better_is_said_plainly_with_what_is_closest_and_what_loses_too_much(tmp_path: Path) -> None:
    lossy = Technique("int4", 3.0, 0.13, 0.05, ("quantize",))
    said = answer(
        made(tmp_path, BASE, Technique("openvino", 0.8, runtime="openvino"), lossy), LATENCY
    ).plain()
    assert said.startswith(
        "Nothing that was tried is shown to be faster than your model in ONNX Runtime and "
    )
    assert "; all that may win are slower, the fastest of them is `openvino`: 0.8" in said
    assert "`int4` is 3.0" in said or "`int4` is 2.9" in said
    assert "more than the allowed loss of 0.5 points" in said
    assert winner(made(tmp_path / "b", BASE, lossy), LATENCY) is None


def test_the_smallest_wins_the_goal_size_and_the_least_memory_the_goal_memory(tmp_path: Path) -> None:
    small = Technique("int4", 0.5, 0.13, 0.0, ("quantize",))
    board = made(tmp_path, BASE, FAST, small)
    assert (
        answer(board, SIZE).plain().startswith("`int4` in ONNX Runtime: 7.69 × smaller than your model in ")
    )
    said = answer(made(tmp_path / "few", BASE, FAST, small, trials=1), SIZE).plain()
    assert "; its speed is not known (only 1 Trial: no interval)" in said
    best = winner(board, MEMORY)
    assert best is not None and best.technique == "int4"
    assert " × lower in memory than your model in ONNX Runtime, 0.5" in answer(board, MEMORY).plain()
    lossy = Technique("int2", 0.5, 0.06, 0.05, ("quantize",))
    best = winner(made(tmp_path / "b", BASE, small, lossy), SIZE)
    assert best is not None and best.technique == "int4"
    assert winner(made(tmp_path / "c", BASE, Technique("large", 3.0, 1.5)), SIZE) is None


def test_a_baseline_that_failed_is_told_with_the_reason(tmp_path: Path) -> None:
    failed = Technique("onnxruntime", status="failed", reason="the graph has an unknown operator")
    said = answer(made(tmp_path, failed, FAST), LATENCY).plain()
    assert said.endswith("your model as it is could not be measured: the graph has an unknown operator")


def test_a_lone_baseline_is_no_comparison(tmp_path: Path) -> None:
    assert answer(made(tmp_path, BASE), LATENCY).plain().startswith("Only your model as it is was measured")


def test_work_of_a_sample_is_told(tmp_path: Path) -> None:
    assert "your model computes 4.80 MFLOP a sample" in conditions_of(made(tmp_path, BASE, FAST))


def asked(folder: Path, goal: str, *techniques: Technique) -> Contenders:
    run = make_run(folder, (Group(),), techniques, baseline="onnxruntime")
    found = contenders(run, GOALS[goal])
    ids = {row.cell_id: row.technique for board in boards(run) for row in [*board.rows, *board.off]}
    return Contenders({key: found.rivals[key] for key in found.rivals}, {ids[key] for key in found.kept})


def test_only_what_holds_its_quality_and_its_audit_may_stop_others(tmp_path: Path) -> None:
    lossy = Technique("int4", 3.0, 0.13, 0.05, ("quantize",))
    wrong = Technique("wrong", 5.0, audit="failed")
    found = asked(tmp_path, "latency", BASE, FAST, lossy, wrong)
    assert {*found.rivals.values()} == {"onnxruntime", "int8-static"}
    assert found.kept == set()


def test_for_the_goal_size_the_smallest_that_may_win_is_kept(tmp_path: Path) -> None:
    lossy = Technique("int2", 3.0, 0.06, 0.05, ("quantize",))
    found = asked(tmp_path, "size", BASE, FAST, lossy)
    assert found.kept == {"int8-static", "int2"}


@pytest.mark.parametrize("goal", GOALS)
def test_every_goal_has_an_answer_for_a_usual_run(tmp_path: Path, goal: str) -> None:
    (board,) = boards(make_run(tmp_path, (Group(),), TECHNIQUES))
    said = answer(board, GOALS[goal]).plain()
    assert said.endswith(".") and "\n" not in said
