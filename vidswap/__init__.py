"""Face swapping, reenactment and editing over long videos.

>>> import vidswap
>>> callable(vidswap.swap)
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import Pipeline, resume, swap
    from .graph import InputError, Interrupted, StageError, VidswapError
    from .runtime.local import Report
    from .runtime.settings import RunSettings

    __version__: str

__all__ = [
    "InputError",
    "Interrupted",
    "Pipeline",
    "Report",
    "RunSettings",
    "StageError",
    "VidswapError",
    "__version__",
    "resume",
    "swap",
]

_HOMES = {
    "Pipeline": "vidswap.api",
    "resume": "vidswap.api",
    "swap": "vidswap.api",
    "InputError": "vidswap.graph",
    "Interrupted": "vidswap.graph",
    "StageError": "vidswap.graph",
    "VidswapError": "vidswap.graph",
    "Report": "vidswap.runtime.local",
    "RunSettings": "vidswap.runtime.settings",
}


def __getattr__(name: str) -> Any:
    """Import public names at their first use, so that `import vidswap` and `vidswap --help` stay quick."""
    import importlib

    if name == "__version__":
        metadata = importlib.import_module("importlib.metadata")
        try:
            return metadata.version("vidswap")
        except metadata.PackageNotFoundError:
            return "0+uninstalled"
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'vidswap' has no attribute {name!r}")
