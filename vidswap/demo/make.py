"""What `vidswap demo` swaps: a clip of one shipped portrait in motion, and the other portrait."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from . import portrait
from .clip import make_clip

# A bare face in motion shows what a swap does; glasses and hat of the other one would hide it. As a source it has the
# larger face; its glasses are taken off.
SOURCE, TARGET = "grace_hopper", "astronaut"


@dataclass(frozen=True)
class Demo:
    """`source` is the portrait of the person who will be seen, `target` the clip whose face changes."""

    source: Path
    target: Path


def make_demo(folder: Path, *, seconds: float = 4.0) -> Demo:
    """Write `target.mp4` into a folder that exists (replacing it) and name the portrait that goes with it."""
    return Demo(portrait(SOURCE), make_clip(portrait(TARGET), folder / "target.mp4", seconds=seconds))
