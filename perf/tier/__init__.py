"""All timing scripts in one command."""
