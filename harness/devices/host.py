"""A view of the machine's files, so that their readers can be tested on a folder of recorded files."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from harness.measure import procfs
from harness.measure.procfs import CoreTimes


@dataclass(frozen=True)
class Host:
    """The files under `root` (``/`` is this machine). Reading a missing file gives None, never an error.

    `window_s` is how long `window` watches the machine.
    """

    root: str = "/"
    window_s: float = 0.5

    @property
    def real(self) -> bool:
        """Whether this is the running machine, so that psutil and system calls refer to the same one."""
        return self.root == "/"

    def path(self, name: str) -> str:
        """Return the full path of ``proc/…``, ``sys/…``."""
        return f"{self.root.rstrip('/')}/{name}"

    def text(self, name: str) -> str | None:
        """Return a file's text without surrounding white space, or None."""
        text = procfs.read(self.path(name))
        return None if text is None else text.strip()

    def number(self, name: str) -> int | None:
        """Return a file's whole number, or None."""
        text = self.text(name)
        return int(text) if text and text.lstrip("-").isdigit() else None

    def glob(self, pattern: str) -> list[str]:
        """Return the names of the files that match, sorted, relative to the root as `text` takes them."""
        root = Path(self.root)
        return sorted(str(path.relative_to(root)) for path in root.glob(pattern))

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return Path(self.path(name)).exists()

    def cgroups(self, controller: str) -> list[str]:
        """Return the folders of this process's cgroups: its own first, then the ancestors."""
        group, mounts = self.text("proc/self/cgroup"), self.text("proc/self/mountinfo")
        return [folder.lstrip("/") for folder in procfs.cgroup_dirs(group, mounts, controller)]

    def cgroup_texts(self, controller: str, name: str) -> list[str]:
        """Return the texts of a file of this process's cgroups, as far as they have it."""
        texts = (self.text(f"{folder}/{name}") for folder in self.cgroups(controller))
        return [text for text in texts if text is not None]

    @cached_property
    def window(self) -> tuple[float, dict[int, CoreTimes]]:
        """Watch the machine for `window_s`: the seconds watched, and each core's times in them."""
        before, start = procfs.core_times(self.text("proc/stat")), time.monotonic()
        time.sleep(self.window_s)
        after, passed = procfs.core_times(self.text("proc/stat")), time.monotonic() - start
        return passed, {
            core: CoreTimes(new.busy_s - before[core].busy_s, new.steal_s - before[core].steal_s)
            for core, new in after.items()
            if core in before
        }
