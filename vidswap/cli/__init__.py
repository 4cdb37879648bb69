"""The command `vidswap`."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Entry point of the command `vidswap`."""
    try:
        # Imported here, so that Ctrl-C while Python still imports is answered in one line too.
        from .app import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        sys.exit(130)
