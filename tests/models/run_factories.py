"""Small models and datasets that integration tests give to the harness as a user's own; some misbehave."""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

SIDE, CLASSES = 16, 4


def net(width: int = 64) -> nn.Module:
    return nn.Sequential(nn.Linear(SIDE, width), nn.ReLU(), nn.Linear(width, CLASSES))


def other_net(width: int = 32) -> nn.Module:
    return nn.Sequential(nn.Linear(SIDE, width), nn.Tanh(), nn.Linear(width, CLASSES))


def data(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Samples whose labels are the untrained net's own outputs for all but a few."""
    rng = np.random.default_rng(0 if split == "train" else 1)
    inputs = rng.standard_normal((96, SIDE)).astype(np.float32)
    torch.manual_seed(0)
    with torch.no_grad():
        labels = net()(torch.from_numpy(inputs)).argmax(1).numpy()
    labels[:10] = (labels[:10] + 1) % CLASSES
    return inputs, labels.astype(np.int64)


def broken_data(split: str) -> np.ndarray:
    return np.load("no-such-file.npy")


def raises() -> nn.Module:
    raise RuntimeError("the weights are on another disk")


def exits() -> nn.Module:
    sys.exit("no licence for this model")


class Misbehaving(nn.Module):
    """Behaves in the processes that inspect and build; does its worst where it is measured."""

    def __init__(self, act) -> None:
        super().__init__()
        self.layer = nn.Linear(SIDE, CLASSES)
        self.act = act

    def forward(self, x):
        if measuring():
            self.act()
        return self.layer(x)


def measuring() -> bool:
    """Whether this process is a measuring worker."""
    command = Path("/proc/self/cmdline").read_bytes()
    return not any(
        name in command for name in (b"harness.runner.workers.build", b"harness.runner.workers.inspect")
    )


def segfaults() -> nn.Module:
    return Misbehaving(lambda: ctypes.string_at(0))


def hangs() -> nn.Module:
    return Misbehaving(lambda: time.sleep(3600))


def is_killed() -> nn.Module:
    return Misbehaving(lambda: os.kill(os.getpid(), signal.SIGKILL))


def is_killed_once() -> nn.Module:
    def act() -> None:
        try:
            Path("was killed").touch(exist_ok=False)
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    return Misbehaving(act)


class Remembers(nn.Module):
    """Where it is measured, looks up earlier outputs; works honestly in the process that builds."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(SIDE, 2048), nn.Linear(2048, 2048), nn.Linear(2048, CLASSES))
        self._known: dict = {}

    def forward(self, x):
        if not measuring():
            return self.layers(x)
        content = x.numpy().tobytes()
        if content not in self._known:
            self._known[content] = self.layers(x)
        return self._known[content]


def remembers() -> nn.Module:
    return Remembers()


class Constant(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(SIDE, CLASSES)

    def forward(self, x):
        return self.layer(x) * 0 + 1


def constant() -> nn.Module:
    return Constant()


class Mortal(nn.Module):
    """Where it is measured, dies in mid-Block as soon as each of three arms has had a Block."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(SIDE, CLASSES)
        self._before = None

    def forward(self, x):
        if measuring():
            blocks = blocks_of_this_run()
            if self._before is None:
                self._before = blocks
            if blocks >= self._before + 3:
                os.kill(os.getpid(), signal.SIGKILL)
        return self.layer(x)


def blocks_of_this_run() -> int:
    """How many Blocks its journal has; a worker's folder is the manager's."""
    return sum(
        path.read_bytes().count(b'{"event": "block"') for path in Path("results").rglob("journal.jsonl")
    )


def mortal() -> nn.Module:
    return Mortal()


class Heavy(nn.Module):
    """Holds so many MiB of weights, reads all of them in a call, and needs almost nothing else."""

    WIDTH = 512  # 512 x 512 float32 are one MiB

    def __init__(self, mib: int) -> None:
        super().__init__()
        self.first = nn.Linear(SIDE, self.WIDTH)
        self.wide = nn.ModuleList(nn.Linear(self.WIDTH, self.WIDTH, bias=False) for _ in range(mib))
        self.last = nn.Linear(self.WIDTH, CLASSES)

    def forward(self, x):
        x = self.first(x)
        for layer in self.wide:
            x = x + layer(x).tanh()
        return self.last(x)


def heavy(mib: int) -> nn.Module:
    return Heavy(mib)


class NotANumber(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(SIDE, CLASSES)

    def forward(self, x):
        return self.layer(x) * float("nan")


def not_a_number() -> nn.Module:
    return NotANumber()


class Slow(nn.Module):
    """So slow that there is time to interrupt it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(SIDE, CLASSES)

    def forward(self, x):
        time.sleep(0.01)
        return self.layer(x)


def slow() -> nn.Module:
    return Slow()


def slow_data(split: str) -> tuple[np.ndarray, np.ndarray]:
    time.sleep(3600)
    return data(split)


class SetsThreads(nn.Module):
    """Sets torch's threads in each call."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = net()

    def forward(self, x):
        torch.set_num_threads(3)
        return self.inner(x)


def sets_threads() -> nn.Module:
    return SetsThreads()
