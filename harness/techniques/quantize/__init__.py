"""Quantization: weights and activations in fewer bits; one file for each method."""
