"""The channel: what a worker prints is no message, and every way of dying is told in words."""

import contextlib
import gc
import importlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from harness.errors import DataError, StoreError, WorkerError
from harness.runner.workers import channel, launch
from harness.runner.workers.channel import EVENTS_FD, SEARCH, located
from harness.runner.workers.launch import KILL_S, OUTLIVED, Code, Worker, explain_exit
from harness.runner.workers.replicas import wait_any
from harness.store.arrays import pack, unpack
from harness.zoo.user_code import load_data

MODELS = Path(__file__).resolve().parents[1] / "models"
PATIENCE_S = 30.0
Start = Callable[..., Worker]
linux = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts test workers; all are killed at the end."""
    monkeypatch.setenv("PYTHONPATH", str(MODELS))
    started = []

    def make(log: Path | None = tmp_path / "logs" / "worker.log", **options: Any) -> Worker:
        started.append(Worker("run_workers", log, **options))
        return started[-1]

    yield make
    for worker in started:
        worker.kill()


def ask(worker: Worker, command: str, **content: Any) -> dict[str, Any]:
    worker.send(command, **content)
    return worker.receive(PATIENCE_S)


def open_files() -> int:
    """How many files this process has open, the listing itself among them."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def gone(pid: int) -> bool:
    """Whether a process ends within a while; a zombie has ended."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("value", [None, 1.5, 'q"uo\nte', "ünï¢ødé ☃", [], {"a": [1]}])
def test_what_is_sent_comes_back(start: Start, value: Any) -> None:
    assert ask(start(), "echo", value=value) == {"event": "echo", "value": value}


def test_messages_of_megabytes(start: Start) -> None:
    worker = start()
    text = "0123456789" * 500_000
    assert ask(worker, "echo", value=text)["value"] == text


@linux
def test_a_worker_is_pinned_before_its_first_import_and_so_are_the_threads_of_libraries(start: Start) -> None:
    mine = sorted(os.sched_getaffinity(0))
    worker = start(cores=mine[-1:], environment={"OPENBLAS_NUM_THREADS": "2"})
    found = ask(worker, "pool")
    assert found["first"] == mine[-1:]
    assert all(cores == mine[-1:] for cores in found["cores"])
    assert sorted(os.sched_getaffinity(0)) == mine


@linux
def test_a_core_that_is_not_there_is_told(start: Start) -> None:
    before = open_files()
    with pytest.raises(WorkerError, match="could not be started"):
        start(cores=(1000,))
    assert open_files() == before


def test_a_worker_gets_no_thread_settings_of_the_shell_but_those_of_the_suite(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["OMP_WAIT_POLICY", "KMP_BLOCKTIME", "GOMP_CPU_AFFINITY", "MALLOC_ARENA_MAX"]
    for name in names:
        monkeypatch.setenv(name, "1")
    stated = {"environment": {"KMP_BLOCKTIME": "infinite"}}
    found = ask(start(**stated), "variables", names=names)
    assert [found[name] for name in names] == [None, "infinite", None, "1"]
    found = ask(start(**stated, leads=False), "variables", names=names)  # a replica, started by a worker
    assert [found[name] for name in names] == ["1", "infinite", "1", "1"]


@pytest.mark.skipif(find_spec("openvino") is None, reason="needs OpenVINO")
def test_openvino_starts_nothing_that_sends_telemetry_when_a_worker_imports_it(
    start: Start, tmp_path: Path
) -> None:
    """Its telemetry package would start threads and processes, and write into the user's home."""
    worker = start(environment={"HOME": str(tmp_path), "CI": "false"})
    assert ask(worker, "telemetry")["sender"] == "openvino.tools.ovc.telemetry_stub"


def test_no_deadlock_when_both_sides_write_more_than_a_pipe_holds(start: Start) -> None:
    worker = start()
    worker.send("shout", size=5_000_000)
    worker.send("echo", value="y" * 5_000_000)  # the worker reads this only when its own event has been taken
    assert len(worker.receive(PATIENCE_S)["value"]) == 5_000_000
    assert worker.receive(PATIENCE_S)["value"][-3:] == "yyy"


def test_a_worker_that_reads_nothing_is_given_up(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.runner.workers.launch.SEND_S", 0.2)
    worker = start()
    ask(worker, "hang")
    with pytest.raises(WorkerError, match="took no command"):
        worker.send("echo", value="y" * 1_000_000)
    assert gone(worker.pid)


def test_what_a_worker_prints_lands_in_its_log_and_not_in_the_protocol(start: Start) -> None:
    worker = start()
    assert ask(worker, "print") == {"event": "printed", "stdin": ""}
    assert ask(worker, "echo", value=1)["value"] == 1
    assert worker.log is not None
    text = worker.log.read_text(errors="replace")
    assert "forged on stdout" in text
    assert "forged on stderr" in text
    assert "from Python" in text


@pytest.mark.parametrize(
    ("command", "content", "words"),
    [
        ("raise", {}, "exit code 1"),
        ("exit", {"code": 3}, "exit code 3"),
        ("exit", {"code": 0}, "exit code 0 before it was done"),
        ("segfault", {}, "SIGSEGV: a segmentation fault"),
        ("kill", {}, "SIGKILL: killed from outside, most often by the kernel because memory ran out"),
        ("garbage", {}, "no event"),
    ],
)
def test_each_way_of_dying_is_told(start: Start, command: str, content: dict[str, Any], words: str) -> None:
    worker = start()
    with pytest.raises(WorkerError, match=words):
        ask(worker, command, **content)


def test_an_exception_leaves_its_traceback_in_the_log(start: Start) -> None:
    worker = start()
    with pytest.raises(WorkerError):
        ask(worker, "raise")
    assert worker.log is not None
    assert "RuntimeError: as asked" in worker.log.read_text()


def test_sending_to_a_dead_worker_says_how_it_died(start: Start) -> None:
    worker = start()
    worker.send("exit", code=7)
    assert gone(worker.pid)
    with pytest.raises(WorkerError, match="exit code 7"):
        worker.send("echo", value=1)


def test_a_worker_that_closes_its_pipe_and_keeps_running(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = start()
    monkeypatch.setattr(worker._process, "wait", short_wait(worker._process))
    with pytest.raises(WorkerError, match="closed its pipe but kept running"):
        ask(worker, "close")
    monkeypatch.undo()
    worker.kill()
    assert gone(worker.pid)


def short_wait(process: subprocess.Popen[bytes]) -> Callable[[float], int]:
    wait = process.wait
    return lambda timeout: wait(min(timeout, 0.1))


def test_a_timeout_ends_the_worker_and_its_children(start: Start) -> None:
    worker = start()
    child = ask(worker, "hang")["child"]
    with pytest.raises(WorkerError, match=r"sent nothing for 0 s and was stopped \(timeout\)"):
        worker.receive(0.05)
    assert gone(worker.pid)
    assert gone(child)


def test_a_worker_that_asks_for_patience_gets_it(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = start()
    given: list[float] = []
    receive = worker.receive
    monkeypatch.setattr(worker, "receive", lambda s: (given.append(s), receive(PATIENCE_S))[1])
    worker.send("patient", patience_s=7.0, sleep_s=0.0)
    assert worker.expect("done", 2.0)["event"] == "done"
    worker.send("patient", patience_s=0.0, sleep_s=0.0)
    assert worker.expect("done", 2.0)["event"] == "done"
    assert given == [2.0, 9.0, 2.0, 2.0]


def test_closing_a_worker_that_hangs_ends_it_and_its_children(start: Start) -> None:
    worker = start()
    child = ask(worker, "hang")["child"]
    worker.close(patience_s=0.05)
    assert gone(worker.pid)
    assert gone(child)


def test_a_paused_worker_stands_still_with_its_children_and_ends_when_it_is_killed(start: Start) -> None:
    worker = start()
    child = ask(worker, "hang")["child"]
    worker.pause()
    deadline = time.monotonic() + PATIENCE_S
    while {psutil.Process(pid).status() for pid in (worker.pid, child)} != {psutil.STATUS_STOPPED}:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    worker.kill()
    assert gone(worker.pid)
    assert gone(child)


@linux
def test_a_paused_worker_and_its_children_end_with_a_manager_that_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(MODELS), str(MODELS.parents[1]))))
    manager = (
        "import os, signal\n"
        "from harness.runner.workers.launch import Worker\n"
        "worker = Worker('run_workers', None)\n"
        "worker.send('hang')\n"
        "child = worker.receive(30)['child']\n"
        "worker.pause()\n"
        "while any(open(f'/proc/{pid}/stat').read().split()[2] != 'T' for pid in (worker.pid, child)): ...\n"
        "print(worker.pid, child, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    said = tmp_path / "pids"
    with said.open("w") as file:
        done = subprocess.run([sys.executable, "-c", manager], stdout=file, check=False)
    assert done.returncode == -signal.SIGKILL
    assert [gone(int(pid)) for pid in said.read_text().split()] == [True, True]


@linux
def test_a_worker_has_no_terminal_so_that_code_that_asks_a_person_fails_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(MODELS), str(MODELS.parents[1]))))
    manager = (
        "from harness.runner.workers.launch import Worker\n"
        "open('/dev/tty').close()\n"
        "worker = Worker('run_workers', None)\n"
        "worker.send('terminal')\n"
        "print(worker.receive(30))\n"
        "worker.close()\n"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", manager])
    said = b""
    with contextlib.suppress(OSError):  # Linux ends a terminal without writers so
        while chunk := os.read(terminal, 1000):
            said += chunk
    os.close(terminal)
    os.waitpid(pid, 0)
    assert b"{'event': 'terminal', 'found': False}" in said


def test_a_paused_worker_goes_on_with_the_next_command_and_ends_when_dismissed(start: Start) -> None:
    worker = start()
    for value in range(3):
        assert ask(worker, "echo", value=value)["value"] == value
        worker.pause()
    worker.close(PATIENCE_S)
    assert worker._process.returncode == 0


@pytest.mark.parametrize("log", [True, False])
def test_a_worker_that_sigkill_does_not_end_is_told_and_not_waited_for(
    start: Start, log: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A process that waits in the kernel, for a device or a disk of the network, cannot be killed."""
    worker = start() if log else start(None)
    ask(worker, "hang")
    waits: list[float | None] = []

    def wait(timeout: float | None = None) -> int:
        waits.append(timeout)
        raise subprocess.TimeoutExpired("worker", timeout or 0)

    with monkeypatch.context() as patch:
        patch.setattr(worker._process, "wait", wait)
        with pytest.raises(
            WorkerError, match=rf"timeout\); process {worker.pid} was killed and is still there"
        ):
            worker.receive(0.01)
        assert worker.kill() == worker.close() == OUTLIVED.format(worker.pid)
    assert waits == [KILL_S, 0, 10.0, 0]
    said = worker.log.read_text() if worker.log is not None else capfd.readouterr().err
    assert said.count(OUTLIVED.format(worker.pid)) == 1
    worker._process.wait(PATIENCE_S)
    assert worker.kill() == ""  # it ended after all


def test_closing_twice_and_killing_what_is_closed_does_no_harm(start: Start) -> None:
    worker = start()
    ask(worker, "echo", value=1)
    worker.close()
    worker.close()
    worker.kill()


def test_a_worker_leads_a_group_of_its_own_so_that_ctrl_c_does_not_reach_it(start: Start) -> None:
    leader, follower = start(), start(leads=False)
    about = ask(leader, "environment")
    assert about["group"] == about["pid"]
    assert about["ppid"] == os.getpid()
    assert ask(follower, "environment")["group"] == os.getpgrp()


def test_code_is_taken_from_another_worktree_with_another_interpreter(start: Start, tmp_path: Path) -> None:
    """As when a commit is compared with one checked out elsewhere: its package hides the one that asks."""
    package = tmp_path / "harness"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (tmp_path / "run_workers.py").write_text(
        "import harness, json, os\n"
        "with os.fdopen(int(os.environ['HARNESS_EVENTS_FD']), 'w') as events:\n"
        "    events.write(json.dumps({'event': 'where', 'package': harness.__file__}) + '\\n')\n"
    )
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    worker = start(code=Code(tmp_path, str(python), commit="0" * 40))
    assert worker.receive(PATIENCE_S)["package"] == str(package / "__init__.py")
    assert worker._process.args[0] == str(python)


def test_an_installed_harness_does_not_put_its_libraries_before_the_standard_library(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = Path(launch.__file__).resolve().parents[3]
    assert launch.Code().command("module")[3:] == ["module", str(here)]
    monkeypatch.setattr(launch, "INSTALLED", {here})
    assert launch.Code().command("module")[3:] == ["module"]
    assert launch.Code(python="another").command("module")[3:] == ["module", str(here)]


def test_users_modules_are_looked_for_last(start: Start, tmp_path: Path) -> None:
    odd = str(tmp_path / "a:b 'c' é%d")
    path = ask(start(code=Code(search_path=(str(tmp_path), odd))), "environment")["path"]
    assert path[-2:] == [str(tmp_path), odd]


def test_a_worker_below_a_worker_finds_users_modules_too(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        SEARCH, json.dumps([str(tmp_path)])
    )  # as it stands in the environment of a measuring worker
    assert ask(start(leads=False), "environment")["path"][-1] == str(tmp_path)


@pytest.mark.parametrize("state", ["waiting", "hanging"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_ends_when_its_manager_was_killed(tmp_path: Path, state: str, how: signal.Signals) -> None:
    code = (
        "import sys, time\nfrom harness.runner.workers.launch import Worker\n"
        "worker = Worker('run_workers', None)\n"
        "worker.send(sys.argv[1], value=1)\nworker.receive(60)\n"
        "print(worker.pid, flush=True)\ntime.sleep(600)"
    )
    command = "echo" if state == "waiting" else "hang"
    manager = subprocess.Popen(
        [sys.executable, "-c", code, command],
        env={**os.environ, "PYTHONPATH": f"{MODELS}:{Path.cwd()}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert manager.stdout is not None
    worker = int(manager.stdout.readline())
    manager.send_signal(how)
    manager.wait()
    manager.stdout.close()
    assert gone(worker)


def test_many_workers_leave_no_zombie_and_no_open_file(start: Start) -> None:
    gc.collect()  # what earlier tests left open is closed now, and not in between
    before = open_files()
    children = {child.pid for child in psutil.Process().children()}
    for i in range(18):
        worker = start(None)
        if i % 3 == 0:
            worker.kill()
        elif i % 3 == 1:
            worker.send("exit", code=1)
            with pytest.raises(WorkerError):
                worker.receive(PATIENCE_S)
            worker.kill()
        else:
            worker.close()
    assert {child.pid for child in psutil.Process().children()} <= children
    assert open_files() == before


def test_a_worker_that_cannot_be_started_leaves_nothing_open() -> None:
    before = open_files()
    with pytest.raises(WorkerError, match=r"could not be started: .*No such file"):
        Worker("run_workers", None, code=Code(python="/no/such/python"))
    assert open_files() == before


def test_a_log_that_cannot_be_written_is_no_fault_of_the_worker(tmp_path: Path) -> None:
    before = open_files()
    (tmp_path / "logs").write_text("a file where a folder is due")
    with pytest.raises(StoreError, match=r"cannot write .*logs.*worker\.log"):
        Worker("run_workers", tmp_path / "logs" / "worker.log")
    assert open_files() == before


def test_the_events_pipe_is_not_left_to_processes_that_a_worker_starts(start: Start) -> None:
    worker = start()
    child = ask(worker, "hang")["child"]
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(WorkerError, match="SIGKILL"):  # and no time-out, as were the pipe still held open
        worker.receive(PATIENCE_S)
    worker.kill()
    assert gone(child)
    assert EVENTS_FD not in os.environ


def test_waiting_for_any_returns_those_that_have_something(start: Start) -> None:
    quiet, loud, dead = start(), start(), start()
    loud.send("echo", value=1)
    dead.send("exit", code=0)
    found: set[Worker] = set()
    while len(found) < 2:
        found |= set(wait_any([quiet, loud, dead], PATIENCE_S))
    assert found == {loud, dead}
    assert wait_any([quiet], 0.01) == []


def test_waiting_for_any_sees_events_that_were_read_already(start: Start) -> None:
    worker = start()
    worker.send("echo", value=1)
    worker.send("echo", value=2)
    time.sleep(0.1)
    worker.receive(PATIENCE_S)
    assert wait_any([worker], PATIENCE_S) == [worker]
    assert worker.receive(PATIENCE_S)["value"] == 2


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u4", "?", "c8", ">f4"])
@pytest.mark.parametrize("shape", [(0,), (), (3,), (2, 3)])
def test_arrays_survive_as_json(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape, dtype=int)).astype(dtype).reshape(shape)
    back = unpack(pack(array))
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    np.testing.assert_array_equal(back, array)


def test_arrays_that_are_not_contiguous_survive_too() -> None:
    array = np.arange(12).reshape(3, 4)[:, ::2].T
    np.testing.assert_array_equal(unpack(pack(array)), array)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0, "ended by itself with exit code 0 before it was done"),
        (139, "ended by itself with exit code 139 before it was done"),
        (-9, "was ended by SIGKILL: killed from outside, most often by the kernel because memory ran out"),
        (-11, "was ended by SIGSEGV: a segmentation fault in native code"),
        (-6, "was ended by SIGABRT: aborted by native code"),
        (-4, "was ended by SIGILL: an instruction that this processor does not have"),
        (-7, "was ended by SIGBUS: a memory-mapped file that could not grow: is the disk or /dev/shm full?"),
        (-15, "was ended by SIGTERM"),
        (-99, "was ended by signal 99"),
    ],
)
def test_an_exit_status_in_words(code: int, text: str) -> None:
    assert explain_exit(code) == text


USERS = """\
import json
import numpy as np
from harness.errors import DataError

def fails(): return np.zeros(3) @ np.zeros(4)
def damaged(): return json.loads("{")
def wraps():
    try:
        raise OSError("disk")
    except OSError as error:
        raise RuntimeError("Error(s) in loading:\\n\\tMissing key: w\\nmore") from error
def deeper(): return fails()
"""


@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("fails", "nets/located_net.py:5: ValueError: matmul: Input operand 1 has a mismatch"),
        ("damaged", "nets/located_net.py:6: JSONDecodeError: Expecting property name"),
        ("wraps", "nets/located_net.py:11: RuntimeError: Error(s) in loading: Missing key: w"),
        ("deeper", "nets/located_net.py:5: ValueError: "),
    ],
)
def test_an_error_in_a_users_code_names_the_users_line(
    function: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "located_net.py").write_text(USERS)
    monkeypatch.setenv(SEARCH, json.dumps([str(tmp_path), "/elsewhere"]))
    monkeypatch.syspath_prepend(str(tmp_path / "nets"))
    monkeypatch.delitem(sys.modules, "located_net", raising=False)
    module = importlib.import_module("located_net")
    try:
        getattr(module, function)()
    except Exception as error:
        text = located(error)
    assert text.startswith(says)
    assert "\n" not in text


def test_an_error_of_the_harness_that_a_users_code_caused_names_the_users_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "located_data.py").write_text("def data(split):\n    raise OSError('disk')\n")
    (tmp_path / "located_typo.py").write_text("x = 1\ndef data(split:\n")
    monkeypatch.setenv(SEARCH, json.dumps([str(tmp_path)]))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(channel, "HARNESS", Path(__file__).parents[2])  # this test is no user's code
    told = []
    for reference in ("located_data:data", "located_typo:data", "no_such_module:data"):
        try:
            load_data(reference, tmp_path, "test", ())
        except DataError as error:
            told.append(located(error))
    assert told[0] == "located_data.py:2: the dataset 'located_data:data' raised OSError: disk"
    assert told[1].startswith("located_typo.py:2: the dataset 'located_typo:data' raised SyntaxError: ")
    assert told[2].startswith("the dataset 'no_such_module:data' raised ModuleNotFoundError: ")
