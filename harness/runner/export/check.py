"""The check of an exported model: its lines run in a fresh process and give the outputs as measured."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.environment import passed_on
from harness.errors import BuildError, explain_exit
from harness.formats.tensors import Array
from harness.runner.export.texts import EXAMPLE, SCRIPT
from harness.runner.workers.audits.same_outputs import RELATIVE, difference

TIMEOUT_S = 600.0
"""Longest time that the lines may take."""
_CHECK = """\
import runpy, sys
import numpy as np
if sys.argv[2:]:
    sys.path += sys.argv[2:]
else:
    sys.modules["harness"] = None
np.savez(sys.argv[1], *runpy.run_path("{script}")["main"]())
"""


def check(folder: Path, code_in: Sequence[str] = ()) -> float:
    """Run the exported lines in a fresh process in `folder`; return how far their outputs are off.

    `code_in` are the folders of code that the model needs; without any, the harness cannot be imported.
    Raises BuildError when they fail, or when the difference is larger than the audits allow.
    """
    with tempfile.TemporaryDirectory(prefix="harness-export-") as place:
        out = Path(place) / "outputs.npz"
        command = [sys.executable, "-P", "-c", _CHECK.format(script=SCRIPT), str(out), *code_in]
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=passed_on(os.environ),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BuildError(f"the check of the exported model failed: {error}") from error
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.strip()]
            why = said[-1] if said and done.returncode > 0 else explain_exit(done.returncode)
            raise BuildError(f"the check of the exported model failed, so nothing was exported: {why}")
        with np.load(out) as mine, np.load(folder / EXAMPLE) as example:
            ours = [mine[name] for name in mine.files]
            measured = [example[name] for name in example.files if name.startswith("output_")]
    return apart(ours, measured)


def apart(ours: Sequence[Array], measured: Sequence[Array]) -> float:
    """Return the largest difference of all outputs, relative to the largest value of each.

    Raises BuildError for one that is larger than the audits allow (RELATIVE).
    """
    if len(ours) != len(measured):
        raise BuildError(
            f"the exported model gives {len(ours)} outputs, the measured Session {len(measured)}"
        )
    worst = 0.0
    for number, (mine, theirs) in enumerate(zip(ours, measured, strict=True)):
        if mine.shape != theirs.shape or mine.dtype != theirs.dtype:
            got, wanted = (f"{array.dtype} {array.shape}" for array in (mine, theirs))
            raise BuildError(
                f"output {number} of the exported model is {got}, the measured Session's {wanted}"
            )
        if np.array_equal(mine, theirs, equal_nan=mine.dtype.kind in "fc"):
            continue
        wide = theirs.astype(complex if theirs.dtype.kind == "c" else float)
        scale = float(np.max(np.abs(wide), initial=0.0)) or 1.0
        found = float(np.max(np.abs(mine.astype(wide.dtype) - wide), initial=0.0)) / scale
        if difference(mine, theirs):
            raise BuildError(
                f"output {number} of the exported model differs from the measured Session's by {found:.1e} "
                f"of its largest value (allowed: {RELATIVE:g}), so nothing was exported"
            )
        worst = max(worst, found)
    return worst
