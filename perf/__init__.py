"""Scripts that time this code."""
