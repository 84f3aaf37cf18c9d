"""The manager: plans, builds, and measures in worker processes. It imports no ML library."""
