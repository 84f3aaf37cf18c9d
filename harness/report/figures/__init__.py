"""The figures: registered where they are defined. A new figure needs no edit in other files."""
