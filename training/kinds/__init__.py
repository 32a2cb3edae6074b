"""Fitting of each router kind."""
