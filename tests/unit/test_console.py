"""The progress of a Run in the terminal: what has one cause is told once."""

from __future__ import annotations

import io
from typing import Any

import pytest

from harness.console import Terminal, Watcher


@pytest.fixture(params=[False, True], ids=["lines", "live"])
def terminal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    made = Terminal()
    for console in (made.out, made.err):
        console.file = io.StringIO()
    if request.param:
        monkeypatch.setattr(made.out, "_force_terminal", True)
    return made


def printed(terminal: Terminal) -> str:
    streams: list[Any] = [terminal.out.file, terminal.err.file]
    return "".join(stream.getvalue() for stream in streams)


def test_of_notices_with_one_cause_only_the_first_is_shown(terminal: Terminal) -> None:
    watcher = Watcher(terminal)
    watcher.phase("measure", 2)
    for title in ("net / a", "net / b", "net / c"):
        watcher.notice(f"{title}: load failed: boom", cause="boom")
    watcher.notice("net / d: load failed: bang", cause="bang")
    for _ in range(2):
        watcher.notice("important")
    watcher.close()
    text = printed(terminal)
    assert [text.count(part) for part in ("boom", "net / a: load failed: boom", "bang")] == [1, 1, 1]
    assert text.count("note: important") == 1
