"""Counts of what really runs in low precision: one file for each format; shares.py is common to all."""
