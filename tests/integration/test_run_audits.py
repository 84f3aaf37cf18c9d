"""Records that must not stand: a Session that caches its outputs, one that ignores its inputs."""

import pytest
from bench import EAGER, ONE_THREAD, ORT, STEADY, Bench

from harness.analysis.compare.leaderboard import boards

pytestmark = pytest.mark.slow


def test_what_fails_its_audit_is_off_the_board_and_says_why(bench: Bench) -> None:
    suite = bench.suite(
        {"remembers": "remembers", "constant": "constant", "sets threads": "sets_threads"},
        {**ORT, **EAGER},
        measure={"trials": 1},
        exclude=[{"model": "sets threads", "technique": "ort"}],
        **ONE_THREAD,
    )
    bench.environment = {"OMP_WAIT_POLICY": "active"}
    out = bench.harness("run", str(suite))
    run = bench.run()
    cells = run.cells[run.cells["arm"] != "control"].set_index(["model", "technique"])
    assert (cells["status"] == "measured").all()
    states = cells["audit"].to_dict()
    assert states == {
        ("remembers", "ort"): "passed",
        ("remembers", "eager"): "failed",
        ("constant", "ort"): "failed",
        ("constant", "eager"): "failed",
        ("sets threads", "eager"): "failed",
    }
    (reason,) = cells.loc[("remembers", "eager"), "audit_reasons"]
    assert reason.startswith("repeated-input: outputs look cached")
    (reason,) = cells.loc[("constant", "ort"), "audit_reasons"]
    assert reason == "constant-output: 256 different inputs gave the same output"
    (reason,) = cells.loc[("sets threads", "eager"), "audit_reasons"]
    assert reason == "thread-budget: the model's code set the threads to 3 after loading; the budget is 1"
    board = next(board for board in boards(run) if board.group.model == "remembers")
    assert [row.technique for row in board.rows] == ["ort"]
    assert [row.technique for row in board.off] == ["eager"]
    assert "Cell off the board: failed its audit: repeated-input" in out
    (notice,) = [text for text in run.info.notices if "OMP_WAIT_POLICY=active" in text]
    assert notice.startswith("workers do not get these variables of the shell: ")
    assert out.count("OMP_WAIT_POLICY=active") == 1
    assert run.info.environment["OMP_WAIT_POLICY"] == "active"


def test_a_worker_that_dies_in_mid_block_marks_its_trial_and_the_group_goes_on(bench: Bench) -> None:
    suite = bench.suite({"mortal": "mortal"}, {**ORT, **EAGER}, measure=STEADY, **ONE_THREAD)
    out = bench.harness("run", str(suite))
    bench.assert_all_gone()
    run = bench.run()
    cells = run.cells[run.cells["arm"] != "control"].set_index("technique")
    assert (cells["status"] == "measured").all()
    assert cells.loc["ort", "trials"] == 2
    assert not any("ended early" in text for text in cells.loc["ort", "warnings"])
    assert cells.loc["eager", "blocks"] > 0
    ended = [text for text in cells.loc["eager", "warnings"] if "ended early (measure)" in text]
    assert len(ended) == 2 and all("SIGKILL" in text for text in ended)
    assert "measure failed: was ended by SIGKILL" in out
