"""The simulated user: phrases, the scripted user, the LLM user."""
