"""Labelling failures by hand, in a local web page."""
