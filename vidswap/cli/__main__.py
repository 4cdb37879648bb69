"""`python -m vidswap.cli`, the command where no script is installed."""

from .app import main

if __name__ == "__main__":
    main()
