"""The zoo's metrics, one file each; found by the registry."""
