"""Chat clients, local servers and weights."""
