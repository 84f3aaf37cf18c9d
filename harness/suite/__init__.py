"""WHAT to compare: a suite file, read, checked and expanded into Cells."""
