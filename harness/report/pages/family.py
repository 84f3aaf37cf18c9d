"""One page for each technique family of the Runs: its gains, its costs, and when builds pay back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from harness.analysis.compare.comparison import Comparison
from harness.analysis.records.roofline import peaks_for
from harness.analysis.words import numbers as say
from harness.analysis.words.peaks import machine_in_words
from harness.analysis.words.sentence import Sentence, code, sentence, strong
from harness.report.drawing.palette import BY_KEY
from harness.report.gathering import Site
from harness.report.glance import Glance, glance
from harness.report.group import Drawing, GroupView, drawings, group_stem
from harness.report.links import cell_path, family_path, unique
from harness.report.page import RunView
from harness.report.pages.registry import Document, page
from harness.report.tables import Line


@dataclass(frozen=True)
class Shown:
    """A family in one Group: rows with their pay-back, figures, and sentences on the machine's peaks."""

    view: RunView
    group: GroupView
    lines: list[tuple[Line, str]]
    drawings: list[Drawing]
    machine: list[str]


@dataclass(frozen=True)
class Overview:
    """A family in all Groups of one Run: technique × Group.

    `shared`: what all names of Groups have in common; `heads`: the rest of each name. `missing`: techniques
    without a result in any Group, each with the page, state and reason of its first Cell.
    """

    view: RunView
    glance: Glance
    shared: str
    heads: list[str]
    missing: list[tuple[str, str, str, str]]


@page("family", "Techniques", order=40)
def make(site: Site) -> Iterator[Document]:
    """One document for each family; a technique of two families is on both pages."""
    rows = [line.record for view in site.views for group in view.groups for line in group.table.lines]
    found = dict.fromkeys(key for row in rows for key in families_of(row))
    for key in sorted(found, key=lambda key: (list(BY_KEY).index(key) if key in BY_KEY else 99, key)):
        label = title(key)
        yield Document(family_path(key), label, "family.html", partial(_data, site, key, label), label)


def families_of(row: Comparison) -> list[str]:
    """Return the families of a row; a technique without steps differs by compiler or runtime."""
    if row.arm == "baseline":
        return []
    return sorted(set(row.families or ())) or ["runtime"]


def title(key: str) -> str:
    """Return the title of a family's page."""
    names = {
        "runtime": "Compilers and runtimes",
        "quantize": "Quantization",
        "prune": "Pruning",
        "replicate": "Replication",
        "precision": "Precision",
    }
    return names.get(key, say.short(key, 40).capitalize())


def _data(site: Site, key: str, label: str) -> dict[str, Any]:
    shown: list[Shown] = []
    for view in site.views:
        for group in view.groups:
            part = _shown(view, group, key, png=site.png)
            if part and any(part.machine == before.machine for before in shown):
                part = replace(part, machine=[])  # shown once
            if part:
                shown.append(part)
    files = {
        f"figures/{name}": content
        for part in shown
        for drawing in part.drawings
        for name, content in drawing.files.items()
    }
    return {
        "name": label,
        "shown": shown,
        "files": files,
        "lead": lead(site, shown),
        "overviews": [_overview(view, shown, key) for view in site.views if _of(view, shown)],
        "limited": any(part.group.board.limited for part in shown),
    }


def _of(view: RunView, shown: list[Shown]) -> list[GroupView]:
    return [part.group for part in shown if part.view is view]


def _overview(view: RunView, shown: list[Shown], key: str) -> Overview:
    """Return the overview of one Run; Runs are never mixed in one table."""
    groups = _of(view, shown)
    shared, heads = common_end([_parts(group) for group in groups])
    found = glance(groups, lambda row: key in families_of(row))
    return Overview(view, found, shared, heads, _missing(view, key))


def _missing(view: RunView, key: str) -> list[tuple[str, str, str, str]]:
    """Return the family's techniques that have no result in any Group of a Run."""
    shown = {line.record.technique for group in view.groups for line in group.table.lines}
    found: dict[str, tuple[str, str, str, str]] = {}
    for group in view.groups:
        for row in group.board.left_out:
            if key in families_of(row) and row.technique not in shown:
                path = cell_path(view.key, row.cell_id)
                why = say.short(row.reason or "no reason was recorded", 200)
                found.setdefault(row.technique, (row.technique, path, row.status, why))
    return list(found.values())


def _parts(group: GroupView) -> list[str]:
    place = group.board.group
    return [say.short(part, 40) for part in (place.model, place.workload, place.hardware)]


def common_end(places: list[list[str]]) -> tuple[str, list[str]]:
    """Split names into their common end and the rest of each: online · cpu, then cnn and mlp."""
    if len(places) < 2:
        return "", [" · ".join(place) for place in places]
    same = 0
    while all(len(place) > same + 1 and place[-1 - same] == places[0][-1 - same] for place in places):
        same += 1
    return " · ".join(places[0][len(places[0]) - same :]), [" · ".join(p[: len(p) - same]) for p in places]


def lead(site: Site, shown: list[Shown]) -> Sentence:
    """Say how many Cells of the family are faster, and name the fastest one."""
    rows = [(part, line.record) for part in shown for line, _ in part.lines]
    faster = [(part, row) for part, row in rows if row.verdict == "faster"]
    over = sum(row.within_budget is False for _, row in faster)
    counts = f"{len(faster)} of {len(rows)} Cells are faster than their baseline"
    counts += f"; {over} of them exceed{'s' if over == 1 else ''} the quality budget" if over else ""
    good = [(part, row) for part, row in faster if row.within_budget or not part.group.board.limited]
    if not good:
        return sentence(f"{counts}.")
    part, best = max(good, key=lambda found: found[1].speedup or 0.0)
    where = site.placed(part.view, part.group.place)
    gain = f" ({say.factors(*best.interval)}), {where}."
    speed = strong(f"{say.factor(best.speedup)} ×")
    return sentence(f"{counts}. The largest speed-up: ", code(best.technique), " — ", speed, gain)


def _shown(view: RunView, group: GroupView, key: str, *, png: bool) -> Shown | None:
    lines = [line for line in group.table.lines if key in families_of(line.record)]
    if not lines:
        return None
    board = group.board.only({line.record.cell_id for line in lines})
    stem = f"{group_stem(board)}-{view.key}-{unique(key)}"
    return Shown(
        view,
        group,
        [(line, say.pay_back(line.record)) for line in lines],
        drawings(board, "family", f"{group.key}-{len(lines)}", stem, png=png),
        _machine(view, lines),
    )


def _machine(view: RunView, lines: list[Line]) -> list[str]:
    """Say how much low precision can gain on this machine; nothing for rows in full precision."""
    if not any(line.record.low_precision_weight_share for line in lines):
        return []
    peaks = peaks_for(lines[0].record, view.run.info.peaks)
    return machine_in_words(peaks) if peaks else []
