"""From events to Records, comparisons of Records, noise studies, and results in words."""
