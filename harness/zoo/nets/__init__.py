"""The zoo's networks as torch modules; imported only by a model's `build()`, never by a registry."""
