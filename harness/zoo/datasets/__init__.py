"""The zoo's datasets, one file each; found by the registry."""
