"""Arrays of any library as numpy arrays. No library is imported: their methods tell what they are."""

from __future__ import annotations

from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """Return tensors and array-likes as numpy arrays, and tables as mappings from column to array."""
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "to_pandas") and hasattr(value, "schema"):  # of pyarrow
        value = value.to_pandas()
    if hasattr(value, "columns") and hasattr(value, "to_numpy"):
        return {str(name): value[name].to_numpy() for name in value.columns}
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        value = value.detach().cpu()
        return (value.float() if str(value.dtype).endswith("bfloat16") else value).numpy()
    return np.asarray(value) if hasattr(value, "__array__") else value


def depth(value: Any) -> int:
    """Return the number of dimensions of an array, a tensor or nested lists."""
    if hasattr(value, "shape"):
        return len(value.shape)
    return 1 + depth(value[0]) if isinstance(value, (list, tuple)) and len(value) else 0
