"""A benchmarking harness and leaderboard for accelerating deep-learning models.

Public API; each name is imported on first use:

- `read_suite(path)` returns a checked suite, `make_plan(suite, place)` its Plan of Cells
- `load(folder)` and `find(root)` return stored Runs, `run.records` their Records, `compare(run)` Records with
  speed-up, verdict and quality loss, `to_frame(rows)` a pandas frame of these
- for plug-ins: `transform`, `conversion`, `deployment`, `StepConfig`; `runtime`, `RuntimeConfig`, `Session`;
  `MODELS`, `DATASETS`, `METRICS`, `SOURCES`, and the errors
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from harness.analysis.compare.comparison import compare as compare
    from harness.analysis.compare.comparison import to_frame as to_frame
    from harness.errors import BuildError as BuildError
    from harness.errors import DataError as DataError
    from harness.errors import HarnessError as HarnessError
    from harness.runner.plan import make_plan as make_plan
    from harness.runtimes.registry import RuntimeConfig as RuntimeConfig
    from harness.runtimes.registry import Session as Session
    from harness.runtimes.registry import runtime as runtime
    from harness.store.reading import find as find
    from harness.store.reading import load as load
    from harness.suite.validation import read_suite as read_suite
    from harness.techniques.registry import StepConfig as StepConfig
    from harness.techniques.registry import conversion as conversion
    from harness.techniques.registry import deployment as deployment
    from harness.techniques.registry import transform as transform
    from harness.zoo.registry import DATASETS as DATASETS
    from harness.zoo.registry import METRICS as METRICS
    from harness.zoo.registry import MODELS as MODELS
    from harness.zoo.source import SOURCES as SOURCES

_HOMES = {
    "harness.analysis.compare.comparison": ("compare", "to_frame"),
    "harness.errors": ("BuildError", "DataError", "HarnessError"),
    "harness.runner.plan": ("make_plan",),
    "harness.runtimes.registry": ("RuntimeConfig", "Session", "runtime"),
    "harness.store.reading": ("find", "load"),
    "harness.suite.validation": ("read_suite",),
    "harness.techniques.registry": ("StepConfig", "conversion", "deployment", "transform"),
    "harness.zoo.registry": ("DATASETS", "METRICS", "MODELS"),
    "harness.zoo.source": ("SOURCES",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}
__all__ = sorted(["__version__", *_HOME_OF])  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    if name not in _HOME_OF:
        raise AttributeError(f"harness has no {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)
