"""The zoo's metrics, one file each; the registry finds them."""
