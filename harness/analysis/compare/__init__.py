"""Records compared: within a Group, on leaderboards."""
