"""Steps that make a model faster or smaller, found by the registry."""
