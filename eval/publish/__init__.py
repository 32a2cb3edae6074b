"""Tables of README and docs, made from committed data."""
