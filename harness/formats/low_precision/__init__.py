"""Counts of what really runs in low precision; one file a format, one vocabulary (shares.py)."""
