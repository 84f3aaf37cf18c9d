"""Matrix products that roofs are measured with: one file a library and number type, found by the registry."""
