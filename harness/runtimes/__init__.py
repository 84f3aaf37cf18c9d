"""WHERE a model executes: one file a runtime behind Session."""
