"""What the command line's verbs do; each module is imported by its verb only."""
