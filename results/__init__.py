"""Measured data, and the tables made from them."""
