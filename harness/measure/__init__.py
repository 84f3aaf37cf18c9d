"""Timing: clocks, Blocks of timed calls, scenarios, warm-up, memory and noise evidence."""
