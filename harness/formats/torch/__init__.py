"""The formats ``torch-module`` and ``torch-program``."""
