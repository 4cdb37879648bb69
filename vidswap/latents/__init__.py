"""Latent codes: mixing, truncation, directions, filters over time."""
