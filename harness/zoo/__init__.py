"""Models, datasets and quality metrics that suites can name."""
