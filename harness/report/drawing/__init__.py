"""Tools for figures: colors and text, labels that do not overlap, SVG for the page."""
