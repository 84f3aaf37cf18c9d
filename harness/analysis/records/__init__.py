"""From a Run's events to its Records."""
