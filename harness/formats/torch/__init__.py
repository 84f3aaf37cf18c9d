"""PyTorch modules on disk."""
