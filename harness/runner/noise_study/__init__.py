"""`harness noise`: experiments whose truth is known."""
