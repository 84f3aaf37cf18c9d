"""What the card of an exported model says of its measurement: result, conditions, Run, commits, libraries."""

from __future__ import annotations

from collections.abc import Iterable

from harness.analysis.compare.comparison import Comparison
from harness.analysis.compare.leaderboard import Board
from harness.analysis.records.columns import parsed
from harness.analysis.words import headline
from harness.packages import versions_of
from harness.store.info import RunInfo
from harness.units import say_count


def title(row: Comparison) -> str:
    """Return the model's name with its technique and runtime."""
    return f"{row.model}: {_with_runtime(row)}"


def _with_runtime(row: Comparison) -> str:
    """Return the technique and its runtime, once where both have one name."""
    return row.technique if row.technique == row.runtime else f"{row.technique} in {row.runtime}"


def card(row: Comparison, board: Board, info: RunInfo, run: str, packages: Iterable[str]) -> list[str]:
    """Return the lines of the card; `run` is the name of the Run's folder, `packages` are the runtime's."""
    steps = [str(step.get("step")) for step in parsed(row.build_details, list)]
    baseline = board.baseline
    machine = info.machine.get("identity", {})
    processor = f"{machine.get('cpu', 'unknown processor')}, {say_count(machine.get('cores', 0), 'core')}"
    found = [
        headline.about(row, board).plain(),
        *([f"The baseline is {_with_runtime(baseline)}."] if baseline else []),
        f"Measured: {headline.conditions(board.group)}; {headline.statistic(board.group)}; {processor}.",
        f"Run: {run}, suite {info.suite}, {info.started_at}, accel-harness {info.harness_version}.",
        *(
            f"Commit{f' of {name}' if name else ''}: {commit.hash[:12]}"
            f"{' with changes' if commit.dirty else ''} {commit.subject}".rstrip()
            for name, commit in info.commits
        ),
        *([] if info.commits else ["Commit: unknown; suite, model and harness are in no git repository."]),
        f"Built by: {', '.join(steps) or 'nothing; this is the model as given'}.",
        f"Libraries, as measured: {_versions(info, packages)}.",
        *(f"Environment variable, as measured: {n}={v}" for n, v in _variables(info).items()),
        *(f"Note: {note}" for note in [*row.warnings, *row.notes]),
    ]
    if row.replicas and row.replicas > 1:
        found.append(
            f"Note: the speed is that of {row.replicas} processes, each with such a Session and an equal "
            "share of the threads; this folder holds the model for one of them."
        )
    return found


def _versions(info: RunInfo, packages: Iterable[str]) -> str:
    """Return the versions that the Run recorded of the runtime's packages, of numpy and of Python."""
    names = [*versions_of(packages), "numpy", "safetensors"]
    known = {name: info.versions[name] for name in dict.fromkeys(names) if name in info.versions}
    python = info.machine.get("state", {}).get("python")
    known |= {"Python": python} if python else {}
    return ", ".join(f"{name} {version}" for name, version in known.items()) or "not recorded"


def _variables(info: RunInfo) -> dict[str, str]:
    """Return the environment variables that the suite set for its workers."""
    found = info.settings.get("environment")
    return found if isinstance(found, dict) else {}
