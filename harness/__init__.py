"""A benchmarking harness and leaderboard for accelerating deep-learning models."""

__version__ = "0.1.0"
