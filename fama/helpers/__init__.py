"""Helpers: training-free agents that put a short note before a decision."""
