"""What the demo and the tests stand on: two portraits in the public domain (origin in PORTRAITS.md)."""

from __future__ import annotations

from pathlib import Path

PORTRAITS = ("astronaut", "grace_hopper")


def portrait(name: str) -> Path:
    """Path of a shipped portrait (JPEG, RGB), one of `PORTRAITS`. Raises ValueError for another name."""
    if name not in PORTRAITS:
        raise ValueError(f"no portrait {name!r}; there are {', '.join(PORTRAITS)}")
    return Path(__file__).with_name(f"{name}.jpg")
