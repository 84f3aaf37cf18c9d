"""Arrays in JSON: in the events that workers send, and in the journal."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def pack(array: NDArray[Any]) -> dict[str, Any]:
    """Return an array as JSON: its dtype, shape, and its bytes in base64."""
    return {
        "dtype": array.dtype.str,
        "shape": array.shape,
        "base64": base64.b64encode(array.tobytes()).decode(),
    }


def unpack(content: Mapping[str, Any]) -> NDArray[Any]:
    """Return the array of such JSON."""
    raw = base64.b64decode(content["base64"])
    return np.frombuffer(raw, dtype=np.dtype(content["dtype"])).reshape(content["shape"])
