"""Comparisons of selectors on the same tasks and trials."""
