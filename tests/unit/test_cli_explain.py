"""`harness explain` finds its Cell by id or by name, and says what it found."""

from __future__ import annotations

import json

import pytest
from runs import TECHNIQUES, Group, Technique, make_run

from harness.commands.explain import explain_cell
from harness.errors import ExitCode, HarnessError


@pytest.fixture
def run(tmp_path):
    techniques = (*TECHNIQUES[:4], Technique("gone", status="skipped", reason="no such library"))
    return make_run(tmp_path / "run", (Group(), Group(model="other")), techniques)


def told(run, cell, capsys):
    assert explain_cell(cell, str(run.folder), run.folder.parent, as_json=False) == ExitCode.OK
    return capsys.readouterr().out


def test_a_cell_is_found_by_name_and_by_the_start_of_its_id(run, capsys):
    cell = run.cells[run.cells["technique"] == "compile"].iloc[0]
    by_name = told(run, f"{cell['model']}/compile", capsys)
    assert "the speed of eager: faster" in by_name
    assert told(run, cell["cell_id"][:12], capsys) == by_name


def test_one_that_was_not_measured_says_why(run, capsys):
    assert "It was skipped: no such library." in told(run, "other/gone", capsys)


def test_a_name_that_fits_several_or_none_is_an_error_that_helps(run):
    with pytest.raises(HarnessError, match=r"'compile' matches 2 Cells of run: .*compile"):
        explain_cell("compile", str(run.folder), run.folder.parent, as_json=False)
    with pytest.raises(HarnessError, match=r"Cell .*compil"):
        explain_cell("compil", str(run.folder), run.folder.parent, as_json=False)


def test_a_machine_reads_it_too(run, capsys):
    explain_cell("other/compile", str(run.folder), run.folder.parent, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["name"].startswith("other / compile")
    assert found["told"]
