"""The leaderboards: one page for each workload and hardware of a Run, its models below each other."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from harness.report.gathering import Site
from harness.report.group import GroupView
from harness.report.links import board_path
from harness.report.page import RunView
from harness.report.pages.registry import Document, page
from harness.report.sliders import limits, sliders


@page("board", "Leaderboards", order=20)
def make(site: Site) -> Iterator[Document]:
    """One document for each workload and hardware of each Run."""
    for view in site.views:
        places = dict.fromkeys((g.board.group.workload, g.board.group.hardware) for g in view.groups)
        for workload, hardware in places:
            groups = [
                group
                for group in view.groups
                if (group.board.group.workload, group.board.group.hardware) == (workload, hardware)
            ]
            name = f"{workload} · {hardware}"
            label = f"{name} · {site.named(view)}" if site.mixed else name
            yield Document(
                board_path(view.key, workload, hardware),
                f"{name} · {view.run.info.suite}",
                "board.html",
                partial(_data, view, groups, name),
                label,
            )


def _data(view: RunView, groups: list[GroupView], name: str) -> dict[str, Any]:
    lines = [line for group in groups for line in group.table.lines]
    places = {group.place for group in groups}
    return {
        "view": view,
        "groups": groups,
        "name": name,
        "families": sorted({line.family.label for line in lines}),
        "runtimes": sorted({line.record.runtime for line in lines if line.record.runtime}),
        "has_budget": any(line.record.within_budget is not None for line in lines),
        "sliders": sliders([group.board for group in groups]),
        "limits": limits,
        "absent": [item.within(places) for item in view.absent if item.within(places).where],
    }
