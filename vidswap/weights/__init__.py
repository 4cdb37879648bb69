"""Checkpoints: catalogue, store, and safe reading of every format; nothing of a file is executed."""

from vidswap.weights.catalogue import catalogue
from vidswap.weights.checkpoint import Checkpoint, in_layout, open_checkpoint
from vidswap.weights.store import load

__all__ = ["Checkpoint", "catalogue", "in_layout", "load", "open_checkpoint"]
