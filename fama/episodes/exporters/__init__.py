"""Exporters: one file a foreign format."""
