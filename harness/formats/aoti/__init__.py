"""The format ``aoti``: packages compiled ahead of time by TorchInductor."""
