"""Importers: one file a foreign log format."""
