"""Recording of served conversations as episodes."""
