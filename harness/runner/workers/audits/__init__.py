"""Audits of a Record: one file each, found by the registry."""
