"""Matrix products that peak FLOP/s are measured with: one file for each library."""
