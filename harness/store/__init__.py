"""Runs on disk: what they hold, and how they are written and read."""
