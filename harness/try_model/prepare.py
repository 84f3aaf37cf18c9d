"""From a model's name on a command line to a suite file and its Plan."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.artifacts.cache import Cache
from harness.devices.fingerprint import Machine
from harness.errors import DataError, ExitCode, HarnessError, SuiteError
from harness.runner.place import Place
from harness.runner.plan import Plan, make_plan
from harness.runner.run.run import this_place
from harness.runner.workers.inspect import Inspector
from harness.suite.validation import CheckedSuite, read_suite
from harness.try_model.candidates import Chosen, Goal, choose, for_goal
from harness.try_model.found import found
from harness.try_model.suite_text import Wanted, name_of, place_suite, suite_text
from harness.zoo.source import recognize

OPTIONS = {"dataset": "--data", "metric": "--metric", "max_drop": "--max-drop", "batch": "--batch"}
"""Keys of a suite that an option sets: a wrong value is an error of the option, not of a file."""


NO_DATA = (
    "no data was given: quality is how well outputs agree with your model's on random inputs, and int8 with "
    "calibrated ranges is left out, which often is the fastest, most of all for convolutions: give --data"
)


class NothingFitsError(HarnessError):
    """No runtime of this machine can run the model."""

    exit_code = ExitCode.NOTHING_MEASURED


@dataclass(frozen=True)
class Options:
    """What the command line says; paths are as seen from the working folder."""

    argument: str
    goal: Goal
    batch: int | None = None
    data: str | None = None
    metric: str | None = None
    max_drop: str = "0.5pt"
    suite: Path | None = None


@dataclass(frozen=True)
class Prepared:
    """The suite file, its Plan, and what there is to tell: `state` is that of `place_suite`."""

    path: Path
    state: str
    plan: Plan
    machine: Machine
    about: list[str]
    left_out: Mapping[str, str]


def prepare(options: Options) -> Prepared:
    """Recognize the model, choose techniques, write the suite and plan it. Raises HarnessError."""
    here = Path.cwd()
    name = name_of(options.argument, here)
    path = options.suite or Path(f"try-{name}.yaml")
    folder = path.resolve().parent
    if not folder.is_dir():
        raise HarnessError(f"--suite {path}: its folder does not exist")
    section = recognize(_seen_from(options.argument, here, folder), folder)
    extra = {"dataset": options.data and _seen_from(options.data, here, folder), "metric": options.metric}
    section |= {key: value for key, value in extra.items() if value is not None}
    batch = options.batch or options.goal.batch
    wanted = Wanted(options.argument, name, section, options.goal, batch, options.max_drop)
    place, machine = this_place()
    with Inspector(Cache().root, folder) as inspector:
        text, left_out = _text(wanted, path, place, inspector, given=options.batch is not None)
        state = place_suite(path, text)
        plan = make_plan(read_suite(path), place, inspector)
    models = plan.suite.models.items()
    about = [] if all(model.source.has_data(model.config) for _, model in models) else [NO_DATA]
    about += [line for key, model in models for line in found(model, plan.inspections.get(key, {}), folder)]
    return Prepared(path, state, plan, machine, about, left_out if state != "edited" else {})


def _text(
    wanted: Wanted, path: Path, place: Place, inspector: Inspector, *, given: bool
) -> tuple[str, Mapping[str, str]]:
    """Return the suite's text and what is left out; a batch that is not `given` is the model's only one."""
    candidates = for_goal(wanted.goal)
    draft = _checked(path, suite_text(wanted, candidates, candidates[0].name))
    with contextlib.suppress(DataError):  # the Plan will say it, with its line in the file
        fixed = inspector.inspect(draft.models[wanted.name]).get("fixed_batch")
        wanted = wanted if given or not fixed else replace(wanted, batch=fixed)
    draft = _checked(path, suite_text(wanted, candidates, candidates[0].name))
    plan = make_plan(draft, place, inspector)
    chosen = choose(plan, candidates)
    if chosen is None:
        raise NothingFitsError(f"no runtime here can run {wanted.argument}: {_reasons(plan)}")
    return _final(wanted, path, chosen), chosen.left_out


def _final(wanted: Wanted, path: Path, chosen: Chosen) -> str:
    text = suite_text(wanted, chosen.candidates, chosen.baseline, chosen.left_out)
    _checked(path, text)
    return text


def _checked(path: Path, text: str) -> CheckedSuite:
    """Check a text that is not written yet. Raises HarnessError with the option that is wrong."""
    try:
        return read_suite(path, text)
    except SuiteError as error:
        problem = error.problems[0]
        option = OPTIONS.get(problem.where.rpartition(".")[2])
        raise HarnessError(f"{option}: {problem.message}" if option else problem.message) from error


def _reasons(plan: Plan) -> str:
    """Return why the plain runtimes do not run, each reason once."""
    planned = plan.cells.values()
    plain = [one for one in planned if not one.cell.pipeline.transforms and not one.cell.pipeline.deployment]
    return "; ".join(dict.fromkeys(f"{one.cell.pipeline.name}: {one.skip}" for one in plain))


def _seen_from(reference: str, here: Path, folder: Path) -> str:
    """Return a file, a folder or ``file.py:function`` relative to another folder; other names as they are."""
    place, colon, rest = (reference, "", "") if (here / reference).exists() else _parted(reference)
    if folder == here.resolve() or not (here / place).exists():
        return reference
    return os.path.relpath(here / place, folder) + colon + rest


def _parted(reference: str) -> tuple[str, str, str]:
    return reference.rpartition(":") if ":" in reference else (reference, "", "")
