"""Importers: one file per foreign log format."""
