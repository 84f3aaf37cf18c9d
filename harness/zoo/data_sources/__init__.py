"""Where a user's data may come from, one file each; the registry finds them."""
