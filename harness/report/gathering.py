"""Which Runs the site shows: the newest of each suite and machine in full, the others in a list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from harness.errors import StoreError
from harness.report.links import unique
from harness.report.page import RunView, machine_name, run_view
from harness.store.info import RunInfo
from harness.store.reading import Run

MAX_RUNS = 12
"""Runs shown in full, newest first."""


@dataclass(frozen=True)
class Site:
    """The data of all pages.

    `views`: Runs shown in full, newest first. `infos`: all Runs that can be read, newest first. `machines`:
    names of machines by key. `faults`: a sentence for each Run that cannot be read. `png`: whether to write
    figures as PNG too.
    """

    views: list[RunView]
    infos: list[RunInfo]
    machines: dict[str, str]
    faults: list[str]
    png: bool = False

    @cached_property
    def suites(self) -> list[str]:
        """Return the names of the suites shown."""
        return sorted({view.run.info.suite for view in self.views})

    @property
    def title(self) -> str:
        """Return the title of the front page."""
        return " · ".join(self.suites) or "no Runs"

    @property
    def mixed(self) -> bool:
        """Whether more than one Run is shown in full."""
        return len(self.views) > 1

    def machine_of(self, info: RunInfo) -> str:
        """Return the name of a Run's machine."""
        return self.machines[machine_key(info)]

    def placed(self, view: RunView, place: str) -> str:
        """Add the Run to the name of a place if the site shows several Runs."""
        return f"{place} · {self.named(view)}" if self.mixed else place

    def named(self, view: RunView) -> str:
        """Name a Run by its machine, and by its suite if there are several suites."""
        return f"{view.run.info.suite} · {view.machine}" if len(self.suites) > 1 else view.machine


def gather(runs: Sequence[Run], faults: Sequence[str] = (), *, png: bool = False) -> Site:
    """Prepare the site. If a Run is damaged, report it and show the one before it instead."""
    views: list[RunView] = []
    problems = list(faults)
    infos = sorted((run.info for run in runs), key=lambda info: info.started_at, reverse=True)
    machines = machine_names(infos)
    for history in newest(runs)[:MAX_RUNS]:
        for index, run in enumerate(history):
            machine = machines[machine_key(run.info)]
            try:
                earlier = len(history) - 1 - index
                views.append(run_view(run, run_key(run.info), machine, earlier, png=png))
            except StoreError as error:
                problems.append(str(error))
                continue
            break
    return Site(views, infos, machines, problems, png)


def newest(runs: Sequence[Run]) -> list[list[Run]]:
    """Return the Runs of each suite and machine, newest first."""
    found: dict[tuple[str, str], list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.info.started_at, reverse=True):
        found.setdefault((run.info.suite, machine_key(run.info)), []).append(run)
    return list(found.values())


def machine_key(info: RunInfo) -> str:
    """Return the key of a Run's machine."""
    return str(info.machine.get("id") or info.machine.get("slug") or "unknown")


def machine_names(infos: Sequence[RunInfo]) -> dict[str, str]:
    """Return the names of all machines by key; equal names get the key in parentheses."""
    names = {machine_key(info): machine_name(info.machine) for info in reversed(infos)}
    often = Counter(names.values())
    return {key: name if often[name] == 1 else f"{name} ({key})" for key, name in names.items()}


def run_key(info: RunInfo) -> str:
    """Return the name of a Run's pages: it depends on suite and machine only."""
    return unique(info.suite, machine_key(info))
