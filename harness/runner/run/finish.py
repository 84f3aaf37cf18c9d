"""From journal to Run: tables, grade, `run.json`, and the final name."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from harness.analysis.records.assemble import Tables, assemble
from harness.analysis.records.roofline import peaks_of
from harness.measure.evidence import Evidence
from harness.measure.grading import grade
from harness.runner.run.concurrent_runs import disturbed
from harness.runner.run.run import PARTIAL, Outcome
from harness.store.info import RunInfo
from harness.store.journal import FILE, Event, read_array, write_log
from harness.store.reading import Run, load
from harness.store.writing import publish, remove_empty_files, write_run


def complete(folder: Path, info: RunInfo, events: list[Event], status: str) -> tuple[RunInfo, Tables]:
    """Return `run.json`'s content, completed from the journal in `folder`, and the tables."""
    tables = assemble(events, info, partial(read_array, folder))
    evidence = [Evidence.from_dict(event["evidence"]) for event in events if event["event"] == "block"]
    costs = [event["clock_ns"] for event in events if event["event"] == "ready"]
    done = info.model_copy(
        update={
            "status": status,
            "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "times": tables.times,
            "notices": notices(events),
            "grade": asdict(grade(evidence)),
            "peaks": peaks_of(events),
            "clock": {"reading_ns": sorted(costs)[len(costs) // 2]} if costs else {},
        }
    )
    return done, tables


def notices(events: list[Event]) -> list[str]:
    """Return what was told during the Run, each once; the other Runs that were active together."""
    told = [event for event in events if event["event"] == "notice"]
    pids = [pid for event in told for pid in event.get("pids", ())]
    return list(dict.fromkeys(disturbed(pids) if "pids" in event else event["text"] for event in told))


@contextlib.contextmanager
def as_it_stands(folder: Path, info: RunInfo, events: list[Event]) -> Iterator[Run]:
    """Open an unfinished Run; its tables are written to a temporary folder, so that it can go on."""
    done, tables = complete(folder, info, events, "interrupted")
    with tempfile.TemporaryDirectory(prefix="harness-report-") as place:
        if (folder / "logs").is_dir():
            shutil.copytree(folder / "logs", Path(place) / "logs")
        write_run(Path(place), done, tables.by_name())
        yield load(Path(place))


def finish_run(folder: Path, info: RunInfo, events: list[Event]) -> Outcome:
    """Write the tables into the Run's folder, remove the journal, give the folder its final name."""
    done, tables = complete(folder, info, events, "complete")
    remove_empty_files(folder / "logs")
    for row in tables.cells:
        if row.log and not (folder / row.log).is_file():
            row.log = None
    write_run(folder, done, tables.by_name())
    write_log(folder, events)
    final = folder.with_name(folder.name.removesuffix(PARTIAL))
    publish(folder, final)
    (final / FILE).unlink(missing_ok=True)
    counts = Counter(row.status for row in tables.cells if row.arm != "control")
    return Outcome(final, counts["measured"], counts["failed"], counts["skipped"])
