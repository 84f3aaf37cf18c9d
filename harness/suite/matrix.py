"""Expansion: models × techniques × workloads × hardware into Cells and their Groups."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from harness.artifacts.cache import digest
from harness.errors import SuiteError
from harness.measure.scenarios.registry import Workload
from harness.suite.pipeline import Pipeline
from harness.suite.schema import Hardware, Pattern, name_matches
from harness.suite.validation import CheckedSuite, Model


@dataclass(frozen=True)
class Cell:
    """One model × technique × workload × hardware. `cell_id` is a hash of its content, not of its names.

    Settings that equal their defaults do not count, so that an option added later does not change the hash.
    """

    cell_id: str
    group_id: str
    model: Model
    pipeline: Pipeline
    workload_name: str
    workload: Workload
    hardware_name: str
    hardware: Hardware

    @property
    def name(self) -> str:
        """Return model / technique / workload / hardware, for readers."""
        return f"{self.model.name} / {self.pipeline.name} / {self.workload_name} / {self.hardware_name}"


@dataclass(frozen=True)
class Group:
    """The Cells that share model, workload and hardware. `baseline` is None where it was excluded."""

    group_id: str
    cells: tuple[Cell, ...]
    baseline: Cell | None

    @property
    def name(self) -> str:
        """Return model / workload / hardware, for readers."""
        cell = self.cells[0]
        return f"{cell.model.name} / {cell.workload_name} / {cell.hardware_name}"


def expand(suite: CheckedSuite) -> list[Group]:
    """Return all Groups in the order of the file. Raises SuiteError for patterns that match nothing."""
    spec = suite.spec
    contents = {
        "model": {n: digest(m.content()) for n, m in suite.models.items()},
        "technique": {n: digest(p.content()) for n, p in suite.pipelines.items()},
        "workload": {n: digest(w.content()) for n, w in suite.workloads.items()},
        "hardware": {n: digest(h.content()) for n, h in spec.hardware.items()},
    }
    excludes = [_Matcher(pattern) for pattern in spec.exclude]
    includes = [_Matcher(pattern) for pattern in spec.include]
    groups = []
    for model in suite.models.values():
        for workload_name, workload in suite.workloads.items():
            for hardware_name, hardware in spec.hardware.items():
                shared = [
                    contents["model"][model.name],
                    contents["workload"][workload_name],
                    contents["hardware"][hardware_name],
                ]
                group_id = digest(shared)
                cells = []
                for pipeline in suite.pipelines.values():
                    names = (model.name, pipeline.name, workload_name, hardware_name)
                    excluded, included = _any(excludes, names), _any(includes, names)
                    if excluded and not included:
                        continue
                    cell_id = digest([*shared, contents["technique"][pipeline.name]])
                    placed = (workload_name, workload, hardware_name, hardware)
                    cells.append(Cell(cell_id, group_id, model, pipeline, *placed))
                if cells:
                    baseline = next((c for c in cells if c.pipeline.name == suite.baseline), None)
                    groups.append(Group(group_id, tuple(cells), baseline))
    _refuse_unused(suite, excludes, "exclude")
    _refuse_unused(suite, includes, "include")
    if not groups:
        raise SuiteError([suite.document.problem(("exclude",), "leaves no Cell")])
    return groups


class _Matcher:
    """A compiled Pattern that counts its matches."""

    def __init__(self, pattern: Pattern) -> None:
        self.pattern = pattern
        self.hits = 0
        fields = (pattern.model, pattern.technique, pattern.workload, pattern.hardware)
        self._tests = [[f] if isinstance(f, str) else f for f in fields]
        self._match = functools.cache(self._matches_one)

    def matches(self, names: tuple[str, str, str, str]) -> bool:
        """Return whether the pattern matches the Cell with these four names."""
        found = all(self._match(i, name) for i, name in enumerate(names))
        self.hits += found
        return found

    def _matches_one(self, i: int, name: str) -> bool:
        return any(name_matches(test, name) for test in self._tests[i])


def _any(matchers: list[_Matcher], names: tuple[str, str, str, str]) -> bool:
    """Return whether any matches; ask all of them, so that each counts its matches."""
    return sum(matcher.matches(names) for matcher in matchers) > 0


def _refuse_unused(suite: CheckedSuite, matchers: list[_Matcher], section: str) -> None:
    unused = [i for i, matcher in enumerate(matchers) if matcher.hits == 0]
    if unused:
        text = "matches no Cell; names are those of this file, * and ? are wildcards"
        raise SuiteError([suite.document.problem((section, i), text) for i in unused])
