"""Outcome tables of executed helper subsets."""
