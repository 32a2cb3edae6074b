"""The reading of a conversation that helpers, diagnosis and routers share."""
