"""The built-in stages, one file per kind, installed as vidswap.operators."""
