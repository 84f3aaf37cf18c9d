"""Artifacts on disk: what they are, their cache, and the code that their addresses depend on."""
