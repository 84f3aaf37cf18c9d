"""Interleaved measuring of arms until a stopping rule is met."""
