"""Failures of real logs that are read in full: which ones, what a reader gets, and the check of a reader's answers."""
