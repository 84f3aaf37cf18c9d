"""Quantization: weights and activations in fewer bits; one file a method."""
