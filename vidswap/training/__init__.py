"""Training of the networks that are the project's own to train, and of E4S: what `vidswap train` runs."""
