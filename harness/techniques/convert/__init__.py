"""Conversions between forms; the planner inserts them where a step or runtime needs another form."""
