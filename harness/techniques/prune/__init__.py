"""Pruning: weights or channels taken away; one file a method."""
