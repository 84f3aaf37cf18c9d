"""The zoo's networks as torch modules; only a model's `build()` imports them, never a registry."""
