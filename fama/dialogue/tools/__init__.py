"""Tools: their roles, and how helpers read them."""
