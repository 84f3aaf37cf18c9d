"""The zoo's models, one file each; the registry finds them."""
