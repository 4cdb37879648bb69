"""Reading a finished segment again before it counts as done."""

from __future__ import annotations

from pathlib import Path

import av

from vidswap.graph.errors import VidswapError

from .opening import open_segment, reason


def verify_segment(path: str | Path, frames: int) -> None:
    """Check that a segment file holds `frames` packets with a pts each, whole ones, and that decoding can begin.

    Every packet is read, the first picture alone is decoded: later ones were made by the same encoder, and decoding
    them all would cost a fifth of encoding them.

    Raises VidswapError, in one line, where it does not.
    """
    path = Path(path)
    try:
        with open_segment(path, packets_alone=True) as container:
            stream = container.streams.video[0]
            stamps: set[int | None] = set()
            found = damaged = 0
            for packet in container.demux(stream):
                if packet.size:
                    if not found and not packet.is_keyframe:
                        raise VidswapError(f"segment {path.name} does not begin with a keyframe")
                    found += 1
                    damaged += packet.is_corrupt
                    stamps.add(packet.pts)
            if found != frames or len(stamps) != frames or None in stamps:
                raise VidswapError(f"segment {path.name} holds {len(stamps)} of {frames} frames when read again")
            if damaged:
                raise VidswapError(f"segment {path.name} is damaged when read again")
            container.seek(0)
            if next(container.decode(stream), None) is None:
                raise VidswapError(f"segment {path.name} cannot be decoded")
    except (av.error.FFmpegError, OSError, ValueError, IndexError) as error:
        raise VidswapError(f"segment {path.name} cannot be read again: {reason(error)}") from error
