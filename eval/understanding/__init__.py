"""The scripted user's understanding of the agent, held against replies of models that were read by hand."""
