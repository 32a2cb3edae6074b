"""User turns read before helpers speak: vectors of sentences, the fitted layer over them, what is read."""
