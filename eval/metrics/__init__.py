"""Measures: pure functions over scores and cells."""
