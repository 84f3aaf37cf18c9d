"""Runs as a person sees them: the HTML page, its figures and downloads, Markdown, the terminal's table."""
