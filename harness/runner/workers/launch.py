"""The manager's side of a worker: its code and environment, its start, commands, events and end."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from harness.devices.cuda import CUDA_ORDER
from harness.environment import POOLS, passed_on
from harness.errors import StoreError, WorkerError, explain_exit
from harness.measure.threads import pinned
from harness.runner.workers.channel import EVENTS_FD, PARENT, SEARCH, SPAWNED_NS, Message

SEND_S = 60.0
"""Longest time that a worker may leave a command unread; only a command larger than a pipe ever waits."""
KILL_S = 10.0
"""Longest wait for a killed process, which cannot end while it waits in the kernel (for a device, a disk)."""
OUTLIVED = "process {} was killed and is still there: it waits in the kernel, and may disturb what comes next"
INSTALLED = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}
"""Folders that Python searches anyway. Named again, they would come before the standard library."""
START = (
    "import runpy, sys; sys.path[:0] = sys.argv[2:]; del sys.argv[2:]; "
    "runpy.run_module(sys.argv[1], run_name='__main__', alter_sys=True)"
)
"""Like `python -m`, with folders to search first. PYTHONPATH holds no folder with a colon in its path."""
TUNABLES, HUGE = "GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"
"""malloc asks for transparent huge pages with madvise (glibc 2.35 or newer; others ignore the variable)."""


@dataclass(frozen=True)
class Code:
    """Where a worker's code comes from. By default: this interpreter and this package.

    `worktree` is a folder that holds another `harness` package, `commit` the commit checked out there, where
    it is known. `search_path` are folders of a user's modules, searched after everything installed.
    """

    worktree: Path | None = None
    python: str = sys.executable
    search_path: tuple[str, ...] = ()
    commit: str | None = None

    @classmethod
    def here(cls, folder: Path) -> Code:
        """Return this package's code; a user's modules are in `folder` or the working folder."""
        return cls(search_path=(str(folder), str(Path.cwd())))

    def command(self, module: str) -> list[str]:
        """Return the command that runs a module of this code."""
        here = self.worktree or Path(__file__).resolve().parents[3]
        found = here in INSTALLED and self.python == sys.executable
        return [self.python, "-c", START, module, *([] if found else [str(here)])]

    def environment(self) -> dict[str, str]:
        """Return the variables by which a worker finds a user's modules."""
        return {SEARCH: json.dumps(self.search_path)} if self.search_path else {}


def worker_environment(
    threads: int, stated: Mapping[str, str] | None = None, *, huge_pages: bool = False
) -> dict[str, str]:
    """Return what a worker with `threads` intra-op threads gets besides what is passed on to it.

    `stated` are the suite's variables (measure.environment).
    """
    environment = {**(stated or {}), **dict.fromkeys(POOLS, str(threads)), **CUDA_ORDER}
    if huge_pages:
        own = environment.get(TUNABLES, os.environ.get(TUNABLES))
        environment[TUNABLES] = f"{own}:{HUGE}" if own else HUGE
    return environment


class Worker:
    """A Python module run as a process in a group of its own, pinned to `cores` if some are given.

    Ctrl-C on the terminal reaches the manager only; `kill` ends the worker with all its children. The group
    stays in the manager's session: if the manager is killed, the kernel then ends the children of paused
    workers, too. A worker that does not lead (a replica) stays in its parent's group and shares its parent's
    log, search path and environment.
    """

    def __init__(
        self,
        module: str,
        log: Path | None,
        *,
        code: Code | None = None,
        environment: dict[str, str] | None = None,
        cores: Sequence[int] = (),
        leads: bool = True,
    ) -> None:
        code = code or Code()
        environment = {
            **(passed_on(os.environ) if leads else os.environ),
            **(environment or {}),
            **code.environment(),
            PARENT: str(os.getpid()),
            SPAWNED_NS: str(time.perf_counter_ns()),
            "PYTHONUNBUFFERED": "1",
            "PYTHONSAFEPATH": "1",
        }
        read, write = os.pipe()
        try:
            with _opened(log) as output, pinned(cores):
                self._process = subprocess.Popen(
                    code.command(module),
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=output,
                    pass_fds=(write,),
                    env={**environment, EVENTS_FD: str(write)},
                    process_group=0 if leads else None,
                    bufsize=0,
                )
        except StoreError:
            os.close(read)
            raise
        except OSError as error:  # no memory, no free process, or a core that is gone
            os.close(read)
            raise WorkerError(f"could not be started: {error}") from error
        finally:
            os.close(write)
        assert self._process.stdin is not None  # noqa: S101
        self._stdin = self._process.stdin
        os.set_blocking(self._stdin.fileno(), False)
        self._read = read
        self._buffer = b""
        self._leads, self._paused, self._outlived = leads, False, ""
        self.log = log
        self.pid = self._process.pid
        self.started = time.monotonic()

    def send(self, command: str, **content: Any) -> None:
        """Send a command. Raises WorkerError when the worker has ended, or takes nothing for SEND_S."""
        self._continue()
        left = memoryview(json.dumps({"do": command, **content}).encode() + b"\n")
        while left:
            try:
                left = left[os.write(self._stdin.fileno(), left) :]
            except BlockingIOError:
                self._make_room()
            except (BrokenPipeError, ValueError) as error:
                raise WorkerError(self._describe_end()) from error

    def receive(self, timeout_s: float) -> Message:
        """Wait for the next event. Raises WorkerError when it dies or is silent for `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            ready = select.select([self._read], [], [], max(0.0, left))[0]
            if not ready:
                raise self._stopped(f"sent nothing for {timeout_s:.0f} s")
            self._read_more()
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            message: Message = json.loads(line)
        except ValueError as error:
            raise WorkerError(f"sent something that is no event: {line[:80]!r}") from error
        return message

    def expect(self, event: str, timeout_s: float) -> Message:
        """Wait for `event`, past ``alive`` events; an ``error`` event in its place is raised as WorkerError.

        An ``alive`` event may ask for ``patience_s`` seconds more until the next event.
        """
        message = self.receive(timeout_s)
        while message["event"] == "alive":
            message = self.receive(timeout_s + message.get("patience_s", 0.0))
        if message["event"] == "error":
            raise WorkerError(message["reason"])
        if message["event"] != event:
            raise WorkerError(f"sent {message['event']!r} where {event!r} was expected")
        return message

    def fileno(self) -> int:
        """The pipe that events come from, for select."""
        return self._read

    @property
    def age_s(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self.started

    @property
    def has_event(self) -> bool:
        """Whether a whole event has been read already."""
        return b"\n" in self._buffer

    def dismiss(self) -> None:
        """Ask the worker to end, without waiting for it."""
        self._continue()
        self._stdin.close()

    def pause(self) -> None:
        """Stop the worker and its children until the next command, so that they use no CPU meanwhile."""
        self._signal(signal.SIGSTOP)
        self._paused = True

    def _continue(self) -> None:
        if self._paused:
            self._signal(signal.SIGCONT)
            self._paused = False

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._leads:
                os.killpg(self.pid, number)
            else:
                self._process.send_signal(number)

    def close(self, patience_s: float = 10.0) -> str:
        """Ask the worker to end, and end it if it does not; return what `kill` does."""
        self.dismiss()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience_s)
        return self.kill()

    def kill(self) -> str:
        """End the worker and its children at once.

        Return a sentence if the process is still there after KILL_S, else an empty text. Its log says it too.
        """
        self._signal(signal.SIGKILL)
        self._stdin.close()
        if self._read >= 0:
            os.close(self._read)
            self._read = -1
        try:
            self._process.wait(0 if self._outlived else KILL_S)
            return ""
        except subprocess.TimeoutExpired:
            if not self._outlived:
                self._outlived = OUTLIVED.format(self.pid)
                with contextlib.suppress(StoreError, OSError), _opened(self.log) as log:
                    os.write(log.fileno() if log else 2, f"[harness] {self._outlived}\n".encode())
            return self._outlived

    def _stopped(self, why: str) -> WorkerError:
        """Kill the worker and return the error that says why."""
        outlived = self.kill()
        return WorkerError(f"{why} and was stopped (timeout)" + (f"; {outlived}" if outlived else ""))

    def _read_more(self) -> None:
        """Read what has arrived into the buffer. Raises WorkerError at the end of the pipe."""
        chunk = os.read(self._read, 1 << 20)
        if not chunk:
            raise WorkerError(self._describe_end())
        self._buffer += chunk

    def _make_room(self) -> None:
        """Wait until the worker takes more; read meanwhile, because it may wait for that."""
        readable, writable, _ = select.select([self._read], [self._stdin], [], SEND_S)
        if readable:
            self._read_more()
        elif not writable:
            raise self._stopped(f"took no command for {SEND_S:.0f} s")

    def _describe_end(self) -> str:
        """Describe how the worker ended."""
        try:
            code = self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            return "closed its pipe but kept running"
        return explain_exit(code)


def _opened(log: Path | None) -> AbstractContextManager[IO[bytes] | None]:
    """Open the log to append to it. Raises StoreError, because a full disk is not a failure of the Cell."""
    if log is None:
        return contextlib.nullcontext()
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        return log.open("ab")
    except OSError as error:
        raise StoreError(f"cannot write {log}: {error.strerror or error}") from error
