"""Exporting a measured model: its files, the Python that loads and runs them, and a check of both."""
