"""A family's page: on top the family in all Groups, with who is slower, over the budget or has no figure."""

from __future__ import annotations

import re

import pytest
from pages import whole
from runs import GROUPS, MACHINE, TECHNIQUES, Group, Technique, make_run, vary

from harness.report.pages.family import common_end


def table(tmp_path, runs):
    """The tables on top of the page, each as rows of cells' HTML by the row's name; and their headings."""
    whole(tmp_path / "out", runs)
    html = (tmp_path / "out" / "families" / "quantize.html").read_text("utf-8")
    found = []
    for part in re.findall(r'<table class="glance">(.*?)</table>', html, re.DOTALL):
        rows = re.findall(r'<tr><th scope="row" title="(.*?)">(.*?)</tr>', part, re.DOTALL)
        heads = re.findall(r'<th scope="col"><a href="(.*?)" dir="auto">(.*?)</a>', part)
        found.append((heads, {name: re.findall(r"<td.*?</td>", cells, re.DOTALL) for name, cells in rows}))
    return html, found


def test_the_family_stands_on_top_in_all_groups_and_no_other_family(tmp_path):
    techniques = (*vary("int8-dynamic", speed=0.5), Technique("int4", 2.0, families=("quantize",)))
    run = make_run(tmp_path / "run", (*GROUPS, Group("mlp")), techniques)
    (gone,) = [each for each in run.records if (each.technique, each.model) == ("int4", "mlp")]
    gone.status, gone.reason = "skipped", "no <kernel> for it"
    html, found = table(tmp_path, [run])
    ((heads, rows),) = found
    assert [text for _, text in heads] == ["cnn · online", "cnn · bulk", "mlp · online"]
    assert set(rows) == {"int8-dynamic", "int8-static", "pruned-int8", "int4"}
    assert all(len(cells) == 3 for cells in rows.values())
    assert all("▼" in cell and 'class="sr"> slower' in cell for cell in rows["int8-dynamic"])
    assert all(" over" in cell and "over budget</span>" in cell for cell in rows["pruned-int8"])
    assert not any("over" in cell for cell in rows["int8-static"])
    assert ["skipped" in cell for cell in rows["int4"]] == [False, False, True]
    assert 'title="no &lt;kernel&gt; for it"' in rows["int4"][2]
    assert html.index('class="glance"') < html.index('class="group"')
    for link, _ in heads:  # to the section below
        assert f'<section class="group" id="{link.removeprefix("#")}"' in html


def test_who_has_no_figure_anywhere_is_named_with_the_reason(tmp_path):
    absent = (
        Technique("trt-int8", status="skipped", reason="needs an NVIDIA <GPU>", families=("quantize",)),
        Technique("trt", status="skipped", reason="not of this family"),
    )
    html, ((_, rows),) = table(tmp_path, [make_run(tmp_path / "run", techniques=(*TECHNIQUES, *absent))])
    told = html.partition("No result in any Group: ")[2].partition("</p>")[0]
    assert "trt-int8</a>" in told
    assert "(skipped: needs an NVIDIA &lt;GPU&gt;)" in told
    assert told.count("</a>") == 1
    assert "trt-int8" not in rows
    alone, _ = table(tmp_path / "alone", [make_run(tmp_path / "other")])
    assert "No result" not in alone


def test_machines_have_a_table_each(tmp_path):
    other = {**MACHINE, "id": "ffff", "identity": {"cpu": "Other CPU"}}
    runs = [make_run(tmp_path / "a", GROUPS), make_run(tmp_path / "b", GROUPS[:1], machine=other)]
    _, found = table(tmp_path, runs)
    assert sorted(len(heads) for heads, _ in found) == [1, 2]


@pytest.mark.parametrize(
    ("places", "shared", "heads"),
    [
        ([["cnn", "online", "cpu"], ["mlp", "online", "cpu"]], "online · cpu", ["cnn", "mlp"]),
        ([["cnn", "online", "cpu"], ["cnn", "bulk", "cpu"]], "cpu", ["cnn · online", "cnn · bulk"]),
        ([["a", "b", "c"], ["a", "b", "d"]], "", ["a · b · c", "a · b · d"]),
        ([["a", "b", "c"]], "", ["a · b · c"]),
        ([["a", "b"], ["a", "b"]], "b", ["a", "a"]),
    ],
)
def test_what_all_groups_share_is_said_once(places, shared, heads):
    assert common_end(places) == (shared, heads)
