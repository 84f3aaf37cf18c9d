"""Audits of a Record: one file each, found by the registry; a Record that fails one is off the board."""
