"""The machines page: names of machines, Groups compared by content, stable paths."""

from __future__ import annotations

import json
from dataclasses import replace

from pages import whole
from runs import GROUPS, MACHINE, TECHNIQUES, Group, make_run, vary

from harness.report.gathering import gather, run_key
from harness.report.pages.machines import Speed, beside, marked, unlike
from harness.store.reading import load


def machine(identity, cpu="AMD EPYC 7B13"):
    return {**MACHINE, "id": identity, "identity": {**MACHINE["identity"], "cpu": cpu}}


def test_machines_that_are_called_the_same_are_told_apart_everywhere(tmp_path):
    runs = [
        make_run(tmp_path / "a", GROUPS[:1], TECHNIQUES[:3], machine=machine("aaaa")),
        make_run(tmp_path / "b", GROUPS[:1], TECHNIQUES[:4], machine=machine("bbbb"), seed=1),
    ]
    pages = whole(tmp_path / "out", runs)
    for name in ("index.html", "machines.html", "runs.html"):
        for key in ("aaaa", "bbbb"):
            assert f"AMD EPYC 7B13, 2 cores, 8 GiB ({key})" in pages[name].text, name
    heads = [words for words in pages["machines.html"].words if words.startswith("AMD EPYC 7B13,")]
    assert len(set(heads)) == 2


def test_a_group_stands_side_by_side_only_with_its_like(tmp_path):
    long = "m" * 60
    groups = (Group(f"{long}-a-{long}"), Group(f"{long}-b-{long}"))  # cut to the same short name
    runs = [
        make_run(tmp_path / name, groups, TECHNIQUES[:3], machine=machine(name), seed=seed)
        for seed, name in enumerate(("aaaa", "bbbb"))
    ]
    views = gather(runs).views
    assert len(beside(views)) == 2
    assert unlike(views) == []
    for found in beside(views):
        assert [len(speeds) for _, speeds in found.rows] == [2, 2, 2]
        assert {view.key for view in found.views} == {"digits.aaaa", "digits.bbbb"}
    for group in runs[1].info.groups:  # other content under the same names
        for record in runs[1].records:
            if record.group_id == group.group_id:
                record.group_id = f"other-{group.group_id}"
        group.group_id = f"other-{group.group_id}"
    views = gather(runs).views
    assert beside(views) == []
    assert len(unlike(views)) == 2


def test_addresses_do_not_change_when_another_suite_or_machine_is_there(tmp_path):
    first = make_run(tmp_path / "a", GROUPS[:1], TECHNIQUES[:3])
    other = make_run(
        tmp_path / "b", GROUPS[:1], TECHNIQUES[:3], suite="other", started_at="2026-01-01T00:00:00+00:00"
    )
    third = make_run(tmp_path / "c", GROUPS[:1], TECHNIQUES[:3], machine=machine("aaaa"))
    alone = set(whole(tmp_path / "alone", [first]))
    assert alone < set(whole(tmp_path / "all", [first, other, third]))
    assert run_key(first.info) == "digits.9c41d2aa"


FINDINGS = [
    {
        "name": "steal",
        "level": "bad",
        "value": "12 % <stolen>",
        "why": "others had the cores",
        "remedy": "move away",
    },
    {"name": "swap", "level": "note", "value": "on", "why": "pages may be fetched", "remedy": None},
    {"name": "turbo", "level": "unknown", "value": "not told", "why": "heat", "remedy": None},
    {"name": "load", "level": "ok", "value": "0.1", "why": "", "remedy": None},
]


def test_a_machines_check_up_is_shown_and_an_older_run_without_one_too(tmp_path):
    run = make_run(tmp_path / "a", GROUPS[:1], TECHNIQUES[:3], doctor=FINDINGS)
    text = whole(tmp_path / "out", [run])["machines.html"].text
    assert "badsteal12 % <stolen>others had the coresmove away" in text
    assert "noteswaponpages may be fetched–" in text
    assert "Passed: load. Not available on this system: turbo." in text
    older = make_run(tmp_path / "b", GROUPS[:1], TECHNIQUES[:3])
    content = json.loads((older.folder / "run.json").read_text("utf-8"))
    del content["doctor"]
    (older.folder / "run.json").write_text(json.dumps(content), encoding="utf-8")
    text = whole(tmp_path / "older", [load(older.folder)])["machines.html"].text
    assert "Its Runs have no results of harness doctor." in text


def test_a_machine_is_told_in_words(tmp_path):
    machine = {**MACHINE, "state": {**MACHINE["state"], "memory_bytes": 8_300_000_000, "core_ids": []}}
    run = make_run(tmp_path / "run", GROUPS[:1], machine=machine)
    text = whole(tmp_path / "out", [run])["machines.html"].text
    for words in ("CPUAMD EPYC 7B13", "memory8 GiB", "memory8.30 GB", "operating systemDebian", "virtualyes"):
        assert words in text, words
    for raw in ("memory gib", "gpus", "GPUs", "core ids", "governor"):
        assert raw not in text, raw


def leaders(*speeds):
    return [index for index, speed in enumerate(marked(list(speeds))) if speed.leads]


def test_a_row_is_led_only_beyond_the_intervals_of_all_others():
    slow, fast, near = Speed("2", "a", 1.9, 2.1), Speed("3", "b", 2.8, 3.2), Speed("2.9", "c", 2.7, 3.1)
    assert leaders(slow, fast) == [1]
    assert leaders(fast, slow, Speed("–")) == [0]
    assert leaders(slow, fast, near) == []  # their intervals meet
    assert leaders(fast, Speed("9, over budget", "d")) == []  # one figure that counts is no comparison
    assert leaders(Speed("0.5", "e", 0.4, 0.6), Speed("0.8", "f", 0.7, 0.9)) == []  # nobody gains
    assert leaders(fast, Speed("1", "g", 0.9, None)) == []  # an end that is not known may be anywhere
    assert leaders() == leaders(fast) == []


def test_the_leader_of_a_row_is_bold_with_a_sign_and_told_to_those_who_do_not_see(tmp_path):
    many = tuple(replace(t, speed=6.2) if t.name == "int8-static" else t for t in vary("compile", drop=0.02))
    runs = [
        make_run(tmp_path / "a", GROUPS[:1], many, machine=machine("aaaa")),
        make_run(tmp_path / "b", GROUPS[:1], machine=machine("bbbb", "Other"), seed=1),
    ]
    pages = whole(tmp_path / "out", runs)
    page, html = pages["machines.html"], (tmp_path / "out" / "machines.html").read_text("utf-8")
    assert len(page.all("td", **{"class": "leads"})) == html.count('</a> <span aria-hidden="true">★</span>')
    row = html.partition(">int8-static</th>")[2].partition("</tr>")[0]
    first, second = row.split("</td>")[:2]
    assert (">6." in first) == ('class="leads"' in first)  # the Run with the larger gain, whichever is left
    assert (">6." in second) == ('class="leads"' in second)
    assert row.count('<span class="sr"> gains most</span>') == 1
    baseline = html.partition(">eager</th>")[2].partition("</tr>")[0]
    assert "leads" not in baseline
    assert "over budget" in html.partition(">compile</th>")[2].partition("</tr>")[0]
    alone = whole(tmp_path / "alone", runs[:1])["machines.html"]
    assert "Side by side" not in alone.text
