"""The embedded benchmark: customer care of a shop and of a software company, with a scripted user."""
