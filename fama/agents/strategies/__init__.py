"""Strategies that drive a backbone, one module each."""
