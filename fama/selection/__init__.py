"""Selectors: who decides which helpers speak, and under which budget."""
