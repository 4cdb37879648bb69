"""Torch modules of the learned methods."""
