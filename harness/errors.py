"""Errors and exit codes. It imports nothing of the harness, so that every module can import it."""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit statuses of the command line. REGRESSION and INCONCLUSIVE are reserved for later commands."""

    OK = 0
    REGRESSION = 1
    USAGE = 2
    INCONCLUSIVE = 3
    SOME_FAILED = 4
    NOTHING_MEASURED = 5
    FAULT = 70
    INTERRUPTED = 130
    BROKEN_PIPE = 141


class HarnessError(Exception):
    """An error for the user: it says what happened, where, and what to do."""

    exit_code: ExitCode = ExitCode.USAGE


@dataclass(frozen=True)
class Problem:
    """One fault in an input file: its place, what was found, what is allowed.

    `where` is a path in the file (``techniques.int8[0].quantize.dtype``); `line` counts from 1.
    """

    file: str
    line: int | None
    where: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.where}: {self.message}" if self.where else f"{place}: {self.message}"


class SuiteError(HarnessError):
    """A suite file that cannot be run; it has all Problems of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class UnknownNameError(HarnessError):
    """A name that is not registered; `broken` are the plug-ins that could not be loaded, with reasons."""

    def __init__(
        self, kind: str, name: str, known: Iterable[str], broken: Mapping[str, str] | None = None
    ) -> None:
        self.known = tuple(sorted(known))
        super().__init__(unknown(kind, name, self.known, broken))


class MissingPackageError(HarnessError):
    """An optional package that is not installed; the message names the extra that installs it."""

    def __init__(self, package: str, extra: str | None) -> None:
        remedy = f"pip install 'accel-harness[{extra}]'" if extra else f"pip install {package}"
        super().__init__(f"{package} is not installed: {remedy}")


class DataError(HarnessError):
    """A dataset, checkpoint or model file that is missing, damaged or of the wrong kind.

    `key` is the key in the suite's model that names it, where it is not that of the model itself.
    """

    key: str | None = None


class BuildError(HarnessError):
    """An Artifact that could not be built."""

    exit_code = ExitCode.SOME_FAILED


class WorkerError(HarnessError):
    """A worker process that failed, crashed, hung or was killed."""

    exit_code = ExitCode.SOME_FAILED


class StoreError(HarnessError):
    """A Run that cannot be written or read."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name most similar to `name`, or None if none is similar."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return matches[0] if matches else None


def unknown(kind: str, name: str, known: Iterable[str], broken: Mapping[str, str] | None = None) -> str:
    """Return the message for an unknown name: the most similar one, all known ones, and broken plug-ins."""
    names = sorted(known)
    guess = nearest(name, names)
    hint = f"; did you mean {guess!r}?" if guess else "."
    lost = "".join(
        f"; plug-in {plugin!r} could not be loaded: {why}" for plugin, why in (broken or {}).items()
    )
    return f"unknown {kind} {name!r}{hint} Known: {', '.join(names) if names else 'none'}{lost}"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type where it has no message.

    The next line follows where the first ends with a colon.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[: 1 + lines[0].endswith(":")])


def describe(error: BaseException) -> str:
    """Return the first line of an error's message, with the type in front unless it is a HarnessError."""
    name, first = type(error).__name__, first_line(error)
    return first if isinstance(error, HarnessError) or first == name else f"{name}: {first}"


def explain_exit(code: int) -> str:
    """Describe an exit status; a negative one is the signal that ended the process."""
    if code >= 0:
        return f"ended by itself with exit code {code} before it was done"
    try:
        ended_by = signal.Signals(-code)
    except ValueError:
        return f"was ended by signal {-code}"
    hints = {
        signal.SIGKILL: "killed from outside, most often by the kernel because memory ran out",
        signal.SIGSEGV: "a segmentation fault in native code",
        signal.SIGABRT: "aborted by native code",
        signal.SIGILL: "an instruction that this processor does not have",
        signal.SIGBUS: "a memory-mapped file that could not grow: is the disk or /dev/shm full?",
    }
    hint = f": {hints[ended_by]}" if ended_by in hints else ""
    return f"was ended by {ended_by.name}{hint}"
