"""HOW a model is made faster: steps, each in its own file, found by the registry."""
