"""Other projects' code for the same work, to compare with."""
