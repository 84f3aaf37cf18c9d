"""Scenarios: how queries arrive, one file each; found by registry.py."""
