"""Declares WHAT to compare: reads a suite file, checks it, and expands it into Cells."""
