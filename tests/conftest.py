"""What holds for all tests: none fails for a slow machine, or for what was drawn this time."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "the same everywhere",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("the same everywhere")
