"""How manager and worker talk: JSON lines, commands in on stdin, events out on a pipe of their own.

A worker's stdout and stderr are its log, so a library that prints cannot disturb the protocol. Nothing is
pickled; arrays travel as `store/arrays.py` packs them.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

from harness.errors import StoreError, WorkerError

EVENTS_FD, SPAWNED_NS, SEARCH = "HARNESS_EVENTS_FD", "HARNESS_SPAWNED_NS", "HARNESS_SEARCH"
PARENT = "HARNESS_PARENT"
Message = dict[str, Any]
SEND_S = 60.0
"""Longest time that a worker may leave a command unread; only a command larger than a pipe ever waits."""
_PR_SET_PDEATHSIG = 1  # prctl(2)


class WorkerSide:
    """The worker's end. Takes stdin and the events pipe away from everything else in the process."""

    def __init__(self) -> None:
        self._commands = os.fdopen(os.dup(0), "r", encoding="utf-8")
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        fd = int(os.environ.pop(EVENTS_FD))
        os.set_inheritable(fd, False)
        self._events = os.fdopen(fd, "w", encoding="utf-8", buffering=1)
        self.spawned_ns = int(os.environ.pop(SPAWNED_NS, "0"))
        _end_with_parent(int(os.environ.pop(PARENT, "0")))
        # A user's modules come last, so that a folder beside a suite cannot stand in for a library.
        sys.path += [p for p in os.environ.get(SEARCH, "").split(os.pathsep) if p and p not in sys.path]

    def receive(self) -> Message | None:
        """Wait for the next command; None when the manager has gone."""
        line = self._commands.readline()
        if not line:
            return None
        message: Message = json.loads(line)
        return message

    def emit(self, event: str, **content: Any) -> None:
        """Send an event."""
        self._events.write(json.dumps({"event": event, **content}) + "\n")

    def __iter__(self) -> WorkerSide:
        return self

    def __next__(self) -> Message:
        message = self.receive()
        if message is None:
            raise StopIteration
        return message


class Worker:
    """The manager's end: a Python module run as a process in a session of its own.

    Ctrl-C on the terminal reaches the manager only; `kill` ends the worker with all its children. One that
    does not lead (a replica) stays in its parent's session and shares the parent's log and, with no `search`
    of its own, the parent's.
    """

    def __init__(
        self,
        module: str,
        log: Path | None,
        *,
        environment: dict[str, str] | None = None,
        search: tuple[str, ...] = (),
        leads: bool = True,
    ) -> None:
        package_root = str(Path(__file__).resolve().parents[3])
        paths = [*filter(None, [os.environ.get("PYTHONPATH")]), package_root]
        environment = {
            **os.environ,
            **({SEARCH: os.pathsep.join(search)} if search else {}),
            **(environment or {}),
            PARENT: str(os.getpid()),
            SPAWNED_NS: str(time.perf_counter_ns()),
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONUNBUFFERED": "1",
            "PYTHONSAFEPATH": "1",
        }
        read, write = os.pipe()
        try:
            with _opened(log) as output:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", module],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=output,
                    pass_fds=(write,),
                    env={**environment, EVENTS_FD: str(write)},
                    start_new_session=leads,
                    bufsize=0,
                )
        except StoreError:
            os.close(read)
            raise
        except OSError as error:  # no memory, or no process left to be had
            os.close(read)
            raise WorkerError(f"could not be started: {error}") from error
        finally:
            os.close(write)
        assert self._process.stdin is not None  # noqa: S101
        self._stdin = self._process.stdin
        os.set_blocking(self._stdin.fileno(), False)
        self._read = read
        self._buffer = b""
        self._leads = leads
        self.log = log
        self.pid = self._process.pid
        self.started = time.monotonic()

    def send(self, command: str, **content: Any) -> None:
        """Send a command. Raises WorkerError when the worker has gone, or takes nothing for SEND_S."""
        left = memoryview(json.dumps({"do": command, **content}).encode() + b"\n")
        while left:
            try:
                left = left[os.write(self._stdin.fileno(), left) :]
            except BlockingIOError:
                self._make_room()
            except (BrokenPipeError, ValueError) as error:
                raise WorkerError(self._obituary()) from error

    def receive(self, timeout_s: float) -> Message:
        """Wait for the next event. Raises WorkerError when it dies or is silent for `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            ready = select.select([self._read], [], [], max(0.0, left))[0]
            if not ready:
                self.kill()
                raise WorkerError(f"gave no answer for {timeout_s:.0f} s and was stopped (timeout)")
            self._read_more()
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            message: Message = json.loads(line)
        except ValueError as error:
            raise WorkerError(f"sent what is no event: {line[:80]!r}") from error
        return message

    def expect(self, event: str, timeout_s: float) -> Message:
        """Wait for `event`, past signs of life; an ``error`` event in its place is raised as WorkerError.

        A sign of life may ask for patience: ``patience_s`` seconds more until the next event.
        """
        message = self.receive(timeout_s)
        while message["event"] == "alive":
            message = self.receive(timeout_s + message.get("patience_s", 0.0))
        if message["event"] == "error":
            raise WorkerError(message["reason"])
        if message["event"] != event:
            raise WorkerError(f"sent {message['event']!r} where {event!r} was due")
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
        self._stdin.close()

    def close(self, patience_s: float = 10.0) -> None:
        """Ask the worker to end, and end it if it does not."""
        self.dismiss()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience_s)
        self.kill()

    def kill(self) -> None:
        """End the worker and its children at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._leads:
                os.killpg(self.pid, signal.SIGKILL)
            else:
                self._process.kill()
        self._process.wait()
        self._stdin.close()
        if self._read >= 0:
            os.close(self._read)
            self._read = -1

    def _read_more(self) -> None:
        """Take what has come into the buffer. Raises WorkerError at the end of the pipe."""
        chunk = os.read(self._read, 1 << 20)
        if not chunk:
            raise WorkerError(self._obituary())
        self._buffer += chunk

    def _make_room(self) -> None:
        """Wait until the worker takes more; read meanwhile, for it may be waiting for us to."""
        readable, writable, _ = select.select([self._read], [self._stdin], [], SEND_S)
        if readable:
            self._read_more()
        elif not writable:
            self.kill()
            raise WorkerError(f"took no command for {SEND_S:.0f} s and was stopped (timeout)")

    def _obituary(self) -> str:
        """Say how the worker ended."""
        try:
            code = self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            return "closed its pipe and went on running"
        return explain_exit(code)


def _opened(log: Path | None) -> AbstractContextManager[IO[bytes] | None]:
    """Open the log for adding to it. Raises StoreError, since a full disk is no fault of the Cell's."""
    if log is None:
        return contextlib.nullcontext()
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        return log.open("ab")
    except OSError as error:
        raise StoreError(f"cannot write {log}: {error.strerror or error}") from error


def wait_any(workers: Sequence[Worker], timeout_s: float) -> list[Worker]:
    """Wait until some of `workers` have something to read (an event, or their end); return those."""
    waiting = {worker.fileno(): worker for worker in workers}
    if ready := [worker for worker in workers if worker.has_event]:
        return ready
    return [waiting[fd] for fd in select.select(list(waiting), [], [], timeout_s)[0]]


def _end_with_parent(parent: int) -> None:
    """Let the kernel end this process when its parent has gone, even while it hangs in a call (Linux)."""
    if not parent or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it had gone before we asked
        os._exit(1)


def explain_exit(code: int) -> str:
    """Put an exit status into words; a negative one is the signal that ended the process."""
    if code >= 0:
        return f"ended by itself with exit code {code} before it was done"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hints = {
        signal.SIGKILL: "killed from outside, most often by the kernel for want of memory",
        signal.SIGSEGV: "a segmentation fault in native code",
        signal.SIGABRT: "aborted by native code",
        signal.SIGILL: "an instruction that this processor does not have",
        signal.SIGBUS: "a memory-mapped file that could not grow: is the disk or /dev/shm full?",
    }
    hint = hints.get(signal.Signals(-code)) if name.startswith("SIG") else None
    return f"was ended by {name}" + (f": {hint}" if hint else "")
