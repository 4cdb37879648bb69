"""A stage and a pipeline for vidswap that make faces unrecognisable."""
