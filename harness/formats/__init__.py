"""What techniques and runtimes exchange: formats of built models, and what can be counted in them."""
