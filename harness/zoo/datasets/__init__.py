"""The zoo's datasets, one file each; the registry finds them."""
