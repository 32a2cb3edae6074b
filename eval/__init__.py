"""Outcome tables, comparisons, statistics and reports."""
