"""Annotators and their labels: agreement, consensus, profiles."""
