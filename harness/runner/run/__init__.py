"""A Run: build, measure, journal, resume, finish."""
