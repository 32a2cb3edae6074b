"""How a backbone is driven: one module a strategy."""
