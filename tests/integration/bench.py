"""Runs of the real command line with real workers, each in a folder of its own."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml

from harness.store.journal import FILE, Event, read_journal
from harness.store.reading import Run, load

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "tests" / "models"
QUICK = {"max_time": "0.2s", "trials": 2, "block_time": "20ms", "warmup_time": "50ms", "timeout": "60s"}
QUICK |= {"roof_time": 0}
INPUT = {"input": [16]}
EAGER = {"eager": [{"runtime": "torch-eager"}]}
ORT = {"ort": [{"runtime": "onnxruntime"}]}


@dataclass
class Bench:
    """A folder with a suite, its results and a cache; starts the command line there."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

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
        return subprocess.Popen(
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

    def harness(self, *arguments: str, code: int = 0) -> str:
        """Run `harness …` to its end; return what it printed, both streams."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=180)
        assert process.returncode == code, f"exit code {process.returncode}\n{out}\n{err}"
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

    def wait_for(
        self, event: str, count: int = 1, timeout_s: float = 90.0, folder: Path | None = None
    ) -> list[Event]:
        """Wait until a journal below `folder`, by default the Run's, has `count` such events; return them."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for path in (folder or self.results).rglob(FILE):
                found = [e for e in read_journal(path.parent) if e["event"] == event]
                if len(found) >= count:
                    return found
            time.sleep(0.05)
        raise AssertionError(f"no {count} events {event!r} within {timeout_s} s")

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

    def assert_all_gone(self, patience_s: float = 15.0) -> None:
        """No worker lives on, and no shared memory or half-built Artifact is left."""
        deadline = time.monotonic() + patience_s
        while (left := self.workers()) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert left == []
        assert list((self.folder / "cache").rglob(".building*")) == []
        folders = Path("/dev/shm").glob("harness-*")  # those of a live process belong to somebody else's Run
        owners = [int(folder.name.split("-")[-2]) for folder in folders]
        assert [pid for pid in owners if not psutil.pid_exists(pid)] == []
