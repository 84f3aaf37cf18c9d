"""Where a model comes from: one file a kind of source, found by the key that names it in a suite."""
