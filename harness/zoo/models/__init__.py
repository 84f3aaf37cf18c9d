"""The zoo's models, one file each; found by the registry."""
