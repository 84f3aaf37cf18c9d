"""Each perf test also runs untimed in `make test`, once and at a small size, so that it does not rot."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def timed(request: pytest.FixtureRequest) -> bool:
    """Whether this session measures; if not, a test takes a small size."""
    option = request.config.getoption
    return option("benchmark_enable") or not option("benchmark_disable")
