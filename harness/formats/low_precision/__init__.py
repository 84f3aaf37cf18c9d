"""What really runs in low precision, counted in each format."""
