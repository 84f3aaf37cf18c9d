"""Pruning: weights or channels are removed; one file for each method."""
