"""Which commits a Run names: of the suite, the models' code and the harness, and whether they are dirty."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from suite_texts import content, read
from test_runner_plan import PLACE

from harness.runner.plan import make_plan
from harness.runner.run import provenance
from harness.runner.run.provenance import describe_run, find_repositories, harness_files, repositories_of
from harness.store.info import Commit, Repository, RunInfo

AUTHOR = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")


def git(folder: Path, *arguments: str) -> str:
    """Run git without the settings of this machine."""
    environment = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    command = ["git", *AUTHOR, "-c", "protocol.file.allow=always", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


def commit(folder: Path, subject: str, **files: str) -> str:
    """Make (or continue) a repository with these Python files; return the commit."""
    folder.mkdir(exist_ok=True)
    if not (folder / ".git").exists():
        git(folder, "init", "-q")
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", subject)
    return git(folder, "rev-parse", "HEAD")


def test_each_repository_is_named_once_with_what_it_holds(tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    one, two = commit(mine, "Mine", suite="", net=""), commit(theirs, "Theirs", tool="")
    parts = {"suite": [mine / "suite.py"], "model": [mine / "net.py"], "harness": [theirs / "tool.py"]}
    found = [
        Repository(hash=one, dirty=False, subject="Mine", holds=["suite", "model"]),
        Repository(hash=two, dirty=False, subject="Theirs", holds=["harness"]),
    ]
    assert repositories_of(parts) == found
    (mine / "net.py").write_text("changed = 1")
    assert [one.dirty for one in repositories_of(parts)] == [True, False]


def test_new_files_count_as_changes_only_where_the_code_uses_them_and_git_does_not_ignore_them(
    tmp_path: Path,
) -> None:
    head = commit(tmp_path / "repo", "Start", net="")
    repo = tmp_path / "repo"
    (repo / "notes.py").write_text("")
    clean = Repository(hash=head, dirty=False, subject="Start", holds=["model"])
    assert repositories_of({"model": [repo / "net.py"]}) == [clean]
    (repo / "net" / "__pycache__").mkdir(parents=True)
    (repo / "net" / "__pycache__" / "net.pyc").write_text("compiled when it was used")
    assert repositories_of({"model": [repo / "net.py", repo / "net"]}) == [clean]
    helper = repo / "a [helper]*.py"  # no pattern
    helper.write_text("")
    files = [repo / "net.py", helper]
    assert repositories_of({"model": files}) == [clean.model_copy(update={"dirty": True})]
    (repo / ".git" / "info" / "exclude").write_text("a*helper*\n")
    assert repositories_of({"model": files}) == [clean]
    assert repositories_of({"model": [helper]}) == []  # nothing of it is in the repository


def test_a_harness_installed_into_an_ignored_folder_of_a_repository_is_not_of_that_repository(
    tmp_path: Path,
) -> None:
    commit(tmp_path, "Start", suite="")
    (tmp_path / ".gitignore").write_text(".venv\n")
    package = tmp_path / ".venv" / "harness"
    package.mkdir(parents=True)
    (package / "cli.py").write_text("")
    found = repositories_of({"suite": [tmp_path / "suite.py"], "harness": [package / "cli.py"]})
    assert [one.holds for one in found] == [["suite"]]


def test_worktrees_submodules_and_shallow_clones_have_commits_of_their_own(tmp_path: Path) -> None:
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    old = commit(inner, "Inner", net="")
    commit(outer, "Outer", suite="")
    git(outer, "submodule", "--quiet", "add", str(inner), "sub")
    top = commit(outer, "With a submodule")
    new = commit(inner, "Later", net="x = 1")
    git(tmp_path, "clone", "-q", "--depth", "1", inner.as_uri(), "shallow")
    git(inner, "worktree", "add", "-q", "--detach", str(tmp_path / "tree"), old)
    assert {
        place: [(one.hash, one.dirty) for one in repositories_of({"model": [tmp_path / place]})]
        for place in ("outer/suite.py", "outer/sub/net.py", "shallow/net.py", "tree/net.py", "inner/net.py")
    } == {
        "outer/suite.py": [(top, False)],
        "outer/sub/net.py": [(old, False)],
        "shallow/net.py": [(new, False)],
        "tree/net.py": [(old, False)],
        "inner/net.py": [(new, False)],
    }


@pytest.mark.parametrize("kind", ["no repository", "no commit", "no git", "refused", "gone"])
def test_what_git_cannot_tell_is_left_out(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    file = tmp_path / "net.py"
    if kind in ("no git", "refused"):
        commit(tmp_path, "Start", net="")
    elif kind == "no commit":
        git(tmp_path, "init", "-q")
    if kind == "no git":
        monkeypatch.setenv("PATH", str(tmp_path))
    elif kind == "refused":
        monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    elif kind == "gone":
        file = tmp_path / "no" / "such" / "net.py"
    assert repositories_of({"model": [file]}) == []


def test_a_repository_whose_state_cannot_be_read_counts_as_dirty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(tmp_path, "Start", net="")
    ask = provenance._git
    monkeypatch.setattr(
        provenance, "_git", lambda folder, *rest: None if rest[0] == "status" else ask(folder, *rest)
    )
    assert [one.dirty for one in repositories_of({"model": [tmp_path / "net.py"]})] == [True]


def test_inside_a_hook_of_another_repository_the_right_one_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = commit(tmp_path / "mine", "Mine", net="")
    commit(tmp_path / "other", "Other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    assert [one.hash for one in repositories_of({"model": [tmp_path / "mine" / "net.py"]})] == [head]


def test_a_run_names_the_repositories_of_suite_and_model_wherever_it_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suites, nets, elsewhere = tmp_path / "suites", tmp_path / "nets", tmp_path / "elsewhere"
    commit(nets, "Nets", prov_net="import prov_helper\ndef build(): ...\n", prov_helper="")
    commit(elsewhere, "Elsewhere")
    monkeypatch.chdir(nets)
    model = {"torch": "prov_net:build", "inputs": {"x": [4]}}
    (suites / "sub").mkdir(parents=True)
    git(suites, "init", "-q")
    suite = read(suites / "sub", content(models={"net": model}))
    head = commit(suites, "Suites")
    made = make_plan(suite, PLACE)
    monkeypatch.chdir(elsewhere)
    machine: Any = SimpleNamespace(to_dict=dict)
    info = describe_run(made, machine, "harness run")
    assert info.commit == Commit(hash=head, dirty=False, subject="Suites")
    held = {part: found for found in info.repositories or () for part in found.holds}
    assert (held["suite"].subject, held["model"].subject, held["model"].dirty) == ("Suites", "Nets", False)
    assert str(tmp_path) not in info.model_dump_json(include={"repositories", "commit"})
    (nets / "prov_helper.py").unlink()
    git(nets, "rm", "-q", "--cached", "prov_helper.py")
    commit(nets, "Without it")
    (nets / "prov_helper.py").write_text("")
    held = {part: found for found in find_repositories(made) for part in found.holds}
    assert (held["model"].subject, held["model"].dirty) == ("Without it", True)


def test_the_harness_code_of_a_run_is_all_but_reports_and_commands() -> None:
    names = {file.parent.name for file in harness_files()}
    assert {"measure", "experiment", "workers", "scenarios", "stats"} <= names
    assert not {"report", "commands", "pages"} & names


def test_an_older_run_has_one_commit_without_a_name() -> None:
    about = {"run_id": "r", "suite": "s", "started_at": "2026-01-01T00:00:00+00:00"}
    old = {"hash": "1" * 40, "dirty": True, "subject": "x"}
    info = RunInfo.model_validate({**about, "commit": old})
    assert (info.commits, info.repositories) == ([("", Commit(**old))], None)
    info = RunInfo.model_validate({**about, "repositories": [{**old, "holds": ["suite", "harness"]}]})
    assert [name for name, _ in info.commits] == ["suite and harness"]
