"""Packages compiled ahead of time by TorchInductor."""
