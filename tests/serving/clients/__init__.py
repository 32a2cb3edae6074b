"""Other people's clients of the endpoint, unmodified."""
