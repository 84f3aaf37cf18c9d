"""What the site shows of one model of a Run: its Groups together."""

from __future__ import annotations

from dataclasses import dataclass

from harness.analysis.words import headline as summary
from harness.analysis.words.headline import Sentence
from harness.report.glance import Glance, glance
from harness.report.group import GroupView
from harness.report.page import RunView


@dataclass(frozen=True)
class ModelView:
    """One model of one Run. `lead` is the Group with the clearest gain; `answers` at most three sentences."""

    name: str
    groups: list[GroupView]
    lead: GroupView
    answers: list[Sentence]

    @property
    def glance(self) -> Glance:
        """Technique × Group of this model."""
        return glance(self.groups)


def model_views(view: RunView) -> list[ModelView]:
    """Return the models of a Run in the suite's order."""
    names = dict.fromkeys(group.board.group.model for group in view.groups)
    return [_model(name, [g for g in view.groups if g.board.group.model == name]) for name in names]


def _model(name: str, groups: list[GroupView]) -> ModelView:
    lead = max(groups, key=lambda group: (group.best.speedup or 0.0) if group.best else 0.0)
    return ModelView(name, groups, lead, summary.model_answers([group.board for group in groups]))
