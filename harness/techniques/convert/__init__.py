"""Conversions between formats; the planner inserts them where a step or runtime needs another format."""
