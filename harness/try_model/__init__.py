"""`harness try`: chooses techniques for one model, writes the suite, measures it, and says what is best."""
