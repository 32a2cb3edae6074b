"""Plan of a comparison before it is run: tokens, GPU hours, detectable difference, and the paper's grid of cells."""
