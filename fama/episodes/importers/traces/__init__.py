"""Logs of tracing tools, where each call of the model repeats the conversation so far."""
