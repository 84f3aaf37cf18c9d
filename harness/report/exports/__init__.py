"""A Run in formats that other programs read: one file each, found by the registry."""
