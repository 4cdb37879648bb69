"""Inversion by optimisation: codes, and generators tuned around codes, that bring a generator to given pictures."""
