"""Steps that make a model faster or smaller; the registry finds them."""
