"""Checkpoints: catalogue, download, safe reading."""
