"""A clock that moves only as a test tells it."""


class FakeClock:
    """It moves by `tick_ns` at every reading, and when `advance` is called.

    A fake Session calls `advance` to simulate the duration of its call; a negative step makes a clock that
    goes backwards.
    """

    def __init__(self, start_ns: int = 0, tick_ns: int = 0) -> None:
        self.time_ns = start_ns
        self.tick_ns = tick_ns
        self.readings = 0

    def now_ns(self) -> int:
        """Return the time, and move on by one tick."""
        time_ns = self.time_ns
        self.time_ns += self.tick_ns
        self.readings += 1
        return time_ns

    def advance(self, step_ns: int) -> None:
        """Move the time by `step_ns` nanoseconds."""
        self.time_ns += step_ns

    def wait_until(self, time_ns: int) -> None:
        """Move on to `time_ns`."""
        self.time_ns = max(self.time_ns, time_ns)
