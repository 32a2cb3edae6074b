"""Strategies, the decision loop with injected notes, and the runner of many episodes."""
