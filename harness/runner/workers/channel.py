"""How manager and worker talk: JSON lines, commands in on stdin, events out on a pipe of their own.

This is the worker's side; launch.py has the manager's. A worker's stdout and stderr are its log, so a library
that prints cannot disturb the protocol. Nothing is pickled; arrays travel as `store/arrays.py` packs them.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import io
import json
import os
import signal
import sys
import sysconfig
import termios
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness.errors import describe

EVENTS_FD, SPAWNED_NS, SEARCH = "HARNESS_EVENTS_FD", "HARNESS_SPAWNED_NS", "HARNESS_SEARCH"
PARENT = "HARNESS_PARENT"
Message = dict[str, Any]
TELEMETRY = "openvino_telemetry"
"""An optional package of OpenVINO and NNCF, which no worker has. With it, an import of theirs would write
into the user's home, and start threads and a copy of the process that use the network and a core for a
second."""
_PR_SET_PDEATHSIG = 1  # prctl(2)
HARNESS, STANDARD_LIBRARY = Path(__file__).parents[2], sysconfig.get_path("stdlib")


class WorkerSide:
    """The worker's end. Reserves stdin and the events pipe for itself."""

    def __init__(self) -> None:
        self._commands = os.fdopen(os.dup(0), "r", encoding="utf-8")
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        with contextlib.suppress(OSError), Path("/dev/tty").open("rb", buffering=0) as terminal:
            fcntl.ioctl(terminal, termios.TIOCNOTTY)  # code that asks a person fails at once
        fd = int(os.environ.pop(EVENTS_FD))
        os.set_inheritable(fd, False)
        self._events = os.fdopen(fd, "w", encoding="utf-8", buffering=1)
        self.spawned_ns = int(os.environ.pop(SPAWNED_NS, "0"))
        _end_with_parent(int(os.environ.pop(PARENT, "0")))
        sys.modules[TELEMETRY] = None  # type: ignore[assignment]  # cannot be imported: as if not installed
        # A user's modules come last, so that a folder beside a suite cannot stand in for a library.
        sys.path += [folder for folder in search_path() if folder not in sys.path]
        for stream in (sys.stdout, sys.stderr):  # a user's code may print anything, in any locale
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(encoding="utf-8", errors="backslashreplace")

    def receive(self) -> Message | None:
        """Wait for the next command; None when the manager has closed the pipe."""
        line = self._commands.readline()
        if not line:
            return None
        message: Message = json.loads(line)
        return message

    def emit(self, event: str, **content: Any) -> None:
        """Send an event."""
        self._events.write(json.dumps({"event": event, **content}) + "\n")

    def __iter__(self) -> Iterator[Message]:
        while (message := self.receive()) is not None:
            yield message


def search_path() -> list[str]:
    """Return the folders of a user's modules, as the manager has passed them on."""
    folders: list[str] = json.loads(os.environ.get(SEARCH) or "[]")
    return folders


def serve(work: Callable[[WorkerSide, Message], None], prefix: str = "") -> None:
    """Do the work that the manager's first command asks for; report what it raises as an ``error`` event."""
    channel = WorkerSide()
    if (first := channel.receive()) is None:
        return
    try:
        work(channel, first)
    except Exception as error:  # a library may raise anything; the manager records it and continues
        traceback.print_exc(file=sys.stderr)
        channel.emit("error", reason=prefix + located(error))


def located(error: BaseException) -> str:
    """Describe an error in one line, after the line of a user's code that led to it: ``net.py:12: …``.

    The file is relative to the suite's folder, elsewhere to where Python found it. Where no user's code was
    involved, nothing stands in front.
    """
    cause: BaseException | None = error
    while cause is not None:
        frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(cause.__traceback__)]
        if isinstance(cause, SyntaxError):
            frames.append((cause.filename or "", cause.lineno))
        if own := [(file, line) for file, line in frames if _is_users(file)]:
            file, line = own[-1]
            folders = [*search_path(), *sorted(sys.path, key=len)[::-1]]
            near = (folder for folder in folders if folder and Path(file).is_relative_to(folder))
            name = os.path.relpath(file, next(near, Path(file).parent))
            return f"{name}:{line}: {describe(error)}"
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return describe(error)


def _is_users(file: str) -> bool:
    """Whether a file belongs neither to the harness nor to anything installed."""
    path = Path(file)
    installed = {"site-packages", "dist-packages"} & set(path.parts) or path.is_relative_to(STANDARD_LIBRARY)
    return path.is_absolute() and path.is_file() and not (installed or path.is_relative_to(HARNESS))


def _end_with_parent(parent: int) -> None:
    """Let the kernel end this process when its parent ends, even while it hangs in a call (Linux)."""
    if not parent or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent ended before the request
        os._exit(1)
