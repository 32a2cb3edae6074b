"""Training examples: read, split, synthesised."""
