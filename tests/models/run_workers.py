"""A worker for tests of the channel: does what it is told, good or bad."""

import ctypes
import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from harness.runner.workers.channel import Message, WorkerSide

FIRST = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def main() -> None:
    channel = WorkerSide()
    for message in channel:
        act(channel, message)


def act(channel: WorkerSide, message: Message) -> None:
    match message["do"]:
        case "echo":
            channel.emit("echo", value=message["value"])
        case "shout":  # far more than a pipe holds, before the next command is read
            channel.emit("shout", value="x" * message["size"])
        case "print":
            os.write(1, b'{"event": "forged on stdout"}\n\xff\xfe')
            os.write(2, b'{"event": "forged on stderr"}\n')
            print("from Python")
            channel.emit("printed", stdin=sys.stdin.read())
        case "environment":
            channel.emit("environment", pid=os.getpid(), ppid=os.getppid(), path=sys.path, group=os.getpgrp())
        case "raise":
            raise RuntimeError("as asked")
        case "exit":
            os._exit(message["code"])
        case "segfault":
            ctypes.string_at(0)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang":
            child = subprocess.Popen(["sleep", "3600"])
            channel.emit("hanging", child=child.pid)
            time.sleep(3600)
        case "close":
            os.close(channel._events.fileno())
            time.sleep(3600)
        case _:
            say_oddly(channel, message)


def say_oddly(channel: WorkerSide, message: Message) -> None:
    match message["do"]:
        case "terminal":
            try:
                os.close(os.open("/dev/tty", os.O_RDWR))
                channel.emit("terminal", found=True)
            except OSError:
                channel.emit("terminal", found=False)
        case "variables":
            channel.emit("variables", **{name: os.environ.get(name) for name in message["names"]})
        case "pool":  # numpy's BLAS starts its threads when it is imported
            importlib.import_module("numpy")
            tasks = [int(task.name) for task in Path("/proc/self/task").iterdir()]
            allowed = [sorted(os.sched_getaffinity(task)) for task in tasks]
            channel.emit("pool", first=FIRST, cores=allowed)
        case "telemetry":
            sender = importlib.import_module("openvino.tools.ovc").telemetry
            channel.emit("telemetry", sender=type(sender).__module__)
        case "patient":
            channel.emit("alive", patience_s=message["patience_s"])
            time.sleep(message["sleep_s"])
            channel.emit("done")
        case "garbage":
            channel._events.write("no JSON\n")


if __name__ == "__main__":
    main()
