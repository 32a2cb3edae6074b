"""The requests of the user: changes, questions, and the objects they are about."""
