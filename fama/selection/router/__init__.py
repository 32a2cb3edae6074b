"""Trained routers at inference: features of a state, the network, checkpoints and their predictors."""
