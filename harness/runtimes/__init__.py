"""Runtimes: one file each, which opens an Artifact as a Session."""
