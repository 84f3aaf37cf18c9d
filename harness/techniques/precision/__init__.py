"""Precision: floats of 16 bits instead of 32; one file a form of model."""
