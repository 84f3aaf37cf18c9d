"""Where a model comes from: one file for each kind of source, named by its key in a suite."""
