"""The manager: plans, builds, starts workers, takes turns among them. It never imports an ML library."""
