"""The figures of a Group: one file each, registered where it is defined; adding one edits no other."""
