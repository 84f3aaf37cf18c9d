"""Percentiles, ratios, verdicts and plans. Pure numpy; scipy is imported when a function needs it."""
