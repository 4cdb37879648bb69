"""What animated and numbered pictures cannot keep of a video, told before any work."""

from __future__ import annotations

from collections import Counter

import numpy as np

from .animation import GIF_BASE, SHORTEST_GIF_TICKS, WEBP_BASE, times
from .image_writing import DEEP, NO_ALPHA
from .index import VideoIndex
from .outputs import Output, OutputKind
from .planes import layout

_WIDE_PRIMARIES = frozenset({9, 11, 12})
_NOT_SRGB_TRANSFERS = frozenset({8, 16, 18})


def picture_losses(index: VideoIndex, output: Output) -> list[str]:
    """Warnings, each one line, in which way the pictures will be less than the video."""
    what = f"{output.suffix[1:].upper()} pictures" if output.kind is OutputKind.IMAGES else output.suffix[1:].upper()
    found = [*_streams(index, what), *_samples(index, output, what)]
    if output.kind is OutputKind.ANIMATION:
        found += _times(index, output, what)
    elif index.variable_rate and not output.folder:
        found.append(f"{what} carry no times: the video's uneven ones are lost; a folder keeps them in vidswap.json")
    return found


def _streams(index: VideoIndex, what: str) -> list[str]:
    kinds = Counter(s.kind for s in index.streams)
    told = [f"{count} {kind}" for kind, count in sorted(kinds.items())]
    told += [f"{len(index.chapters)} chapters"] if index.chapters else []
    return [f"{what} hold no other streams: {', '.join(told)} left out"] if told else []


def _samples(index: VideoIndex, output: Output, what: str) -> list[str]:
    found = []
    deep = output.suffix in DEEP or output.suffix == ".apng"
    if index.bit_depth > 8 and not deep:
        found.append(f"{what} hold 8 bits; the video's {index.bit_depth} bits are rounded")
    of = layout(index.working_format)
    if of is not None and of.alpha:
        if output.suffix in NO_ALPHA:
            found.append(f"{what} hold no transparency; it is dropped")
        elif output.suffix == ".gif":
            found.append(f"{what} pixels are opaque or transparent; what is between becomes the nearer of both")
    colour = index.colour
    if colour.primaries in _WIDE_PRIMARIES or colour.transfer in _NOT_SRGB_TRANSFERS:
        names = colour.names()
        said = f"{names['primaries']}, {names['transfer']}"
        found.append(f"{what} are shown as sRGB; the video's colours ({said}) are kept as codes and not converted")
    return found


def _times(index: VideoIndex, output: Output, what: str) -> list[str]:
    if output.suffix not in (".gif", ".webp"):
        return []
    base = GIF_BASE if output.suffix == ".gif" else WEBP_BASE
    found = []
    ticks = times(index, base)
    numerator, denominator = (index.time_base / base).as_integer_ratio()
    last = int(index.pts[-1] - index.pts[0])
    if abs(ticks[-2] - last * numerator / denominator) > 1:
        found.append(f"{what} cannot show frames as fast as the video's; it will be slower")
    elif output.suffix == ".gif" and int(np.diff(ticks).min()) < SHORTEST_GIF_TICKS:
        found.append(f"{what} frames shorter than 0.02 s are shown slower by browsers; the video has some")
    return found
