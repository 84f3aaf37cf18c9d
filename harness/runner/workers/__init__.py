"""Worker processes and how the manager talks to them."""
