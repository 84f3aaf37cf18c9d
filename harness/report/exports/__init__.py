"""A Run in formats that other programs read. A new export needs no edit in other files."""
