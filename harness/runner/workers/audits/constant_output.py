"""constant-output: different inputs must not all give the same output."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

from harness.formats.tensors import Array
from harness.runner.workers.audits.registry import Audit, Finding, Inputs, audit, verdict

MIN_REAL, MIN_WHOLE = 2, 64
"""Different inputs from which on equal outputs are a fault, for real and for whole numbers: two real
outputs are not equal to the last bit by chance, but the labels of a few inputs may be."""


@audit
class ConstantOutput(Audit):
    """Counts different samples and different outputs of the evaluation, until two outputs differ."""

    name = "constant-output"

    def __init__(self) -> None:
        self._samples: set[bytes] = set()
        self._outputs: set[bytes] = set()
        self._whole = True

    def evaluated(self, _batch: int, samples: int, inputs: Inputs, outputs: Sequence[Array]) -> None:
        """Take in the outputs of one batch."""
        if len(self._outputs) > 1:
            return
        parts = [np.asarray(part) for part in outputs]
        self._whole &= all(part.dtype.kind not in "fc" for part in parts)
        self._samples |= _digests(inputs, samples)
        self._outputs |= _digests(parts, samples)

    def finding(self) -> Finding:
        """Return whether outputs depend on their inputs."""
        samples, outputs = len(self._samples), len(self._outputs)
        if outputs > 1:
            return verdict(self.name, samples, ())
        if not outputs or samples < (MIN_WHOLE if self._whole else MIN_REAL):
            return verdict(self.name, 0, ())
        return verdict(self.name, samples, [f"{samples:,} different inputs gave the same output"])


def _digests(arrays: Iterable[Array], samples: int) -> set[bytes]:
    """Return digests of the first `samples` samples of a batch, which may have several arrays."""
    known = [np.ascontiguousarray(array) for array in arrays]
    known = [array for array in known if array.ndim and len(array) >= samples]
    if not known:
        return set()
    return {hashlib.sha256(b"".join(array[i].tobytes() for array in known)).digest() for i in range(samples)}
