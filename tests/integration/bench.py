"""Runs of the real command line with real workers, each in a folder of its own."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import yaml

from harness.store.journal import FILE, Event, read_journal
from harness.store.reading import Run, load

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "tests" / "models"
SHARED = Path("/dev/shm")
PATIENCE_S = 300.0
"""How long anything is waited for that takes seconds on a quiet machine."""
QUICK = {"max_time": "0.2s", "trials": 2, "block_time": "20ms", "warmup_time": "50ms", "timeout": "60s"}
QUICK |= {"peak_time": 0}
STEADY = {"max_time": "2s", "block_time": "5ms"}
"""So many Blocks that load truncates no Trial: PILOT_BLOCKS are enough (analysis/compare/timing.py)."""
INPUT = {"input": [16]}
ONE_THREAD = {"hardware": {"cpu": {"device": "cpu", "threads": 1}}}
"""Two threads that meet after each layer wait for each other where others have the cores: seconds a call."""
EAGER = {"eager": [{"runtime": "torch-eager"}]}
ORT = {"ort": [{"runtime": "onnxruntime"}]}


def needs_two_cores() -> None:
    """Skip where two replicas cannot have a core each."""
    if len(psutil.Process().cpu_affinity()) < 2:
        pytest.skip("two replicas need two cores")


@dataclass
class Bench:
    """A folder with a suite, its results and a cache; starts the command line there."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen] = field(default_factory=list)
    foreign: frozenset[Path] = field(default_factory=lambda: frozenset(SHARED.glob("harness-*")))

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def suite(
        self, models: dict, techniques: dict, workloads: dict | None = None, **sections: object
    ) -> Path:
        """Write a suite; models that are plain names are factories of tests/models/run_factories.py."""
        content = {
            "suite": 'it\'s "odd" & a=b',
            "models": {
                name: {"torch": f"run_factories:{about}", "inputs": INPUT}
                if isinstance(about, str)
                else about
                for name, about in models.items()
            },
            "techniques": techniques,
            "workloads": workloads or {"one by one": {"scenario": "single-stream"}},
            "hardware": {"cpu": {"device": "cpu", "threads": "all"}},
            **sections,
            "measure": {**QUICK, **sections.get("measure", {})},  # type: ignore[dict-item]
        }
        path = self.folder / "suite.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return path

    def start(self, *arguments: str) -> subprocess.Popen:
        """Start `harness …` as the leader of a process group, as a shell does."""
        environment = {
            **os.environ,
            "HARNESS_CACHE": str(self.folder / "cache"),
            "TMPDIR": str(self.folder / "tmp"),
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(MODELS))),  # this tree, wherever it is
            "COLUMNS": "200",
            **self.environment,
        }
        (self.folder / "tmp").mkdir(exist_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-m", "harness.cli", *arguments],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
        )
        self.started.append(process)
        return process

    def end(self, process: subprocess.Popen) -> tuple[int, str, str]:
        """Wait until it has ended; return its exit code and what it printed, both streams."""
        out, err = process.communicate(timeout=PATIENCE_S)
        return process.returncode, out, err

    @contextlib.contextmanager
    def held_up(self, process: subprocess.Popen) -> Iterator[None]:
        """Let a process do nothing for as long as the block lasts; it keeps what it holds."""
        process.send_signal(signal.SIGSTOP)
        try:
            deadline = time.monotonic() + PATIENCE_S
            while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED:
                assert process.poll() is None, "it has ended already"
                assert time.monotonic() < deadline
                time.sleep(0.01)
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def harness(self, *arguments: str, code: int = 0) -> str:
        """Run `harness …` to its end; return what it printed, both streams."""
        ended, out, err = self.end(self.start(*arguments))
        assert ended == code, f"exit code {ended}\n{out}\n{err}"
        assert "Traceback" not in err, err
        return out + err

    def runs(self) -> list[Run]:
        """Complete Runs, oldest first."""
        return [load(p.parent) for p in sorted(self.results.rglob("run.json")) if ".partial" not in str(p)]

    def run(self) -> Run:
        """The only complete Run."""
        (run,) = self.runs()
        return run

    def partials(self) -> list[Path]:
        return sorted(self.results.rglob("*.partial"))

    def wait_for(self, event: str, count: int = 1, folder: Path | None = None) -> list[Event]:
        """Wait until a journal below `folder`, by default the Run's, has `count` such events; return them."""
        deadline = time.monotonic() + PATIENCE_S
        alive = True
        while alive and time.monotonic() < deadline:
            alive = any(process.poll() is None for process in self.started)
            for path in (folder or self.results).rglob(FILE):
                found = [e for e in read_journal(path.parent) if e["event"] == event]
                if len(found) >= count:
                    return found
            time.sleep(0.05)
        raise AssertionError(f"no {count} events {event!r} within {PATIENCE_S} s, or before the end")

    def workers(self) -> list[psutil.Process]:
        """Worker processes of this folder's Runs that are alive (a zombie is not), whoever their parent."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            try:
                ours = process.environ().get("HARNESS_CACHE") == str(self.folder / "cache")
                dead = process.status() == psutil.STATUS_ZOMBIE
            except psutil.Error:
                continue
            if ours and not dead and "harness.runner" in " ".join(process.info["cmdline"] or ()):
                found.append(process)
        return found

    def assert_all_gone(self) -> None:
        """No worker lives on, and no shared memory or half-built Artifact is left."""
        deadline = time.monotonic() + 60.0
        while (left := self.workers() or self.orphaned()) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert left == []
        assert list((self.folder / "cache").rglob(".building*")) == []

    def orphaned(self) -> list[Path]:
        """Shared memory since the test began whose owner is gone; another Run's is removed in a moment."""
        folders = set(SHARED.glob("harness-*")) - self.foreign
        return [folder for folder in folders if not psutil.pid_exists(int(folder.name.split("-")[-2]))]
