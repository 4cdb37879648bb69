"""Where on this machine things are kept that can be had again."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .addresses import place


def cache_folder(variable: str, name: str) -> Path:
    """The folder that an environment variable names, or `vidswap/NAME` in the user's cache folder."""
    named = os.environ.get(variable)
    if named:
        return place(named).expanduser()
    if sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "vidswap" / name
