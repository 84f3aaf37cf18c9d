"""What building yields, on disk: forms, cache, targets. Techniques and runtimes meet here."""
