"""FAMA: failure-aware selection of helper agents for small tool-use LLMs, without training them."""

__version__ = "0.1.0"
