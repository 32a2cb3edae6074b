"""Named local models, their weights and where they come from."""
