"""Notes for agents that run elsewhere: an advisor that is asked before each of their requests."""
