"""Training of the encoder network with Lightning."""
