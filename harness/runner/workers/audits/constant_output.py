"""constant-output: different inputs must not all have the same answer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

from harness.formats.tensors import Array
from harness.runner.workers.audits.registry import Audit, Finding, Inputs, audit, verdict

FEWEST_REAL, FEWEST_WHOLE = 2, 64
"""Different inputs that must be answered before equal answers are a fault. Floating-point answers to two
inputs are not equal to the last bit by chance; labels of a few inputs may well be."""


@audit
class ConstantOutput(Audit):
    """Counts different items and different answers in the quality pass, until two answers differ."""

    name = "constant-output"

    def __init__(self) -> None:
        self._items: set[bytes] = set()
        self._answers: set[bytes] = set()
        self._whole = True

    def evaluated(self, _batch: int, samples: int, inputs: Inputs, outputs: Sequence[Array]) -> None:
        """Take in the answers to one batch."""
        if len(self._answers) > 1:
            return
        parts = [np.asarray(part) for part in outputs]
        self._whole &= all(part.dtype.kind not in "fc" for part in parts)
        self._items |= _digests(inputs, samples)
        self._answers |= _digests(parts, samples)

    def finding(self) -> Finding:
        """Say whether answers follow their inputs."""
        samples, answers = len(self._items), len(self._answers)
        if answers > 1:
            return verdict(self.name, samples, ())
        if not answers or samples < (FEWEST_WHOLE if self._whole else FEWEST_REAL):
            return verdict(self.name, 0, ())
        return verdict(self.name, samples, [f"{samples:,} different inputs had one and the same answer"])


def _digests(arrays: Iterable[Array], samples: int) -> set[bytes]:
    """Digest the first `items` items of a batch that lies in one or more arrays."""
    known = [np.ascontiguousarray(array) for array in arrays]
    known = [array for array in known if array.ndim and len(array) >= samples]
    if not known:
        return set()
    return {hashlib.sha256(b"".join(array[i].tobytes() for array in known)).digest() for i in range(samples)}
