"""Benchmarks and their environments."""
