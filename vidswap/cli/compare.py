"""`vidswap compare`: two videos in one, side by side, with a wipe, or their difference."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .console import VOICE

if TYPE_CHECKING:
    import numpy as np

    from vidswap import media

SWEEP_S = 4.0
"""Seconds in which the line of a wipe goes from left to right and back."""
AMPLIFIED = 4
_LABEL_SHARE = 0.04  # height of capitals, in heights of the picture


def compare(
    *,
    first: Path,
    second: Path,
    output: Path,
    side_by_side: bool,
    wipe: bool,
    difference: bool,
    labels: str | None,
    codec: str | None,
    crf: float | None,
    overwrite: bool,
) -> None:
    """Check, write the video, tell."""
    from vidswap.files import written_whole
    from vidswap.graph import InputError
    from vidswap.media import Reader, probe
    from vidswap.runtime.checks import check_output
    from vidswap.storage import is_remote

    from .generating import film_encoder
    from .progress import counted

    chosen = [name for name, on in (("side-by-side", side_by_side), ("wipe", wipe), ("difference", difference)) if on]
    if len(chosen) > 1:
        raise InputError(f"give one of --{' and --'.join(chosen)}")
    mode = chosen[0] if chosen else "side-by-side"
    texts = _texts(labels)
    indices = probe(first), probe(second)
    _check_alike(*indices)
    for path in (first, second):
        check_output(output, path, overwrite)
    index = shown_index(indices[0], mode)
    encoder = film_encoder(output, codec, crf)
    warnings = list(encoder.check(index, output))
    with (
        Reader(indices[0]) as one,
        Reader(indices[1]) as other,
        counted("compare", shown=VOICE.shows_progress) as done,
        tempfile.TemporaryDirectory(
            prefix=".vidswap-compare-", dir=None if is_remote(output) else output.parent
        ) as folder,
        written_whole(output) as temporary,
    ):
        segment = Path(folder) / f"video{encoder.extension}"
        encoder.begin(segment, index, 0)
        try:
            for picture in _pictures((one, other), index, mode, texts):
                encoder.write(picture)
                done(picture.frame + 1, index.frame_count)
            encoder.finish()
        except BaseException:
            encoder.abort()
            raise
        # What the result says of itself stays said.
        tags = {name.lower(): text for name, text in indices[1].metadata.items()}
        notes = {name: tags[name] for name in ("comment", "vidswap") if name in tags}
        warnings += encoder.join(index, [segment], temporary, notes)
        warnings += [*one.take_warnings(), *other.take_warnings()]
    for warning in warnings:
        VOICE.warn(warning)
    facts = {"output": str(output), "mode": mode, "frames": index.frame_count, "warnings": warnings}
    VOICE.result(facts, [f"{output}: {index.frame_count} frames, {mode}"])


def shown_index(first: media.VideoIndex, mode: str) -> media.VideoIndex:
    """The index of the comparison: times, sound and tags of A, upright square RGB pixels of even width and height."""
    from vidswap.media.geometry import Orientation

    times = 2 if mode == "side-by-side" else 1
    return dataclasses.replace(
        first,
        stored_width=times * _even(first.width),
        stored_height=_even(first.height),
        sample_aspect_ratio=Fraction(1),
        orientation=Orientation(),
        display_matrix=None,
        pixel_format="gbrp",
        interlaced=False,
        free_parameter_set=None,
    )


def fitted(rgb_of: Any, size: tuple[int, int]) -> np.ndarray:
    """A picture scaled into (width, height) without changing its shape, on black: (height, width, 3) uint8 RGB."""
    import numpy as np

    width, height = size
    scale = min(width / rgb_of.width, height / rgb_of.height)
    # Half a pixel of rounding is no bar.
    sides = (rgb_of.width, rgb_of.height)
    inner = [max(1, min(limit, round(side * scale))) for side, limit in zip(sides, size, strict=True)]
    inner = [limit if limit - side <= 2 else side for side, limit in zip(inner, size, strict=True)]
    image = rgb_of.rgb(*inner)
    if inner == [width, height]:
        return image
    canvas = np.zeros((height, width, 3), np.uint8)
    top, left = (height - inner[1]) // 2, (width - inner[0]) // 2
    canvas[top : top + inner[1], left : left + inner[0]] = image
    return canvas


def joined(a: np.ndarray, b: np.ndarray, mode: str, time_s: float) -> np.ndarray:
    """One picture of two (h, w, 3) uint8 RGB."""
    import cv2
    import numpy as np

    if mode == "side-by-side":
        return np.hstack([a, b])
    if mode == "difference":
        return cv2.convertScaleAbs(cv2.absdiff(a, b), alpha=AMPLIFIED)
    width = a.shape[1]
    line = round(width * (0.5 - 0.5 * math.cos(2 * math.pi * time_s / SWEEP_S)))
    image = b.copy()
    image[:, :line] = a[:, :line]
    image[:, max(0, line - 1) : line + 1] = 255
    return image


def _pictures(
    readers: tuple[media.Reader, media.Reader], index: media.VideoIndex, mode: str, texts: list[str]
) -> Iterator[media.Picture]:
    import av
    import numpy as np

    from vidswap.media.picture import PictureKind

    kind = PictureKind(index)
    size = _even(readers[0].index.width), _even(readers[0].index.height)
    for a, b in zip(*(reader.read(0, index.frame_count) for reader in readers), strict=True):
        image = joined(fitted(a, size), fitted(b, size), mode, index.time_s(a.frame) - index.time_s(0))
        _label(image, texts, mode)
        yield kind.picture(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24"), a.frame)


def _label(image: np.ndarray, texts: list[str], mode: str) -> None:
    """Write the texts into the picture, A's at the top left, B's at the top of its half or at the right."""
    from vidswap.faces.compositing import lettering, placed

    height, width = image.shape[:2]
    room, margin = width // 2, max(2, height // 50)
    for number, text in enumerate(texts):
        letters, alpha = lettering(text, max(9, round(_LABEL_SHARE * height)), room - 2 * margin, height // 3)
        size = (alpha.shape[1], alpha.shape[0])
        corner = "top-right" if number and mode != "side-by-side" else "top-left"
        matrix = placed(corner, size, (width, height), margin)
        x, y = int(-matrix[0, 2]) + (room if number and mode == "side-by-side" else 0), int(-matrix[1, 2])
        part = image[y : y + size[1], x : x + size[0]]
        cover = alpha[: part.shape[0], : part.shape[1], None]
        part[...] = (part + cover * (letters[: part.shape[0], : part.shape[1]] - part.astype("f4"))).round()


def _texts(labels: str | None) -> list[str]:
    from vidswap.graph import InputError

    if labels is None:
        return []
    texts = [text.strip() for text in labels.split(",")]
    if len(texts) != 2 or not all(texts):
        raise InputError(f"--labels {labels!r}: write two texts with a comma between, such as 'target,result'")
    return texts


def _check_alike(a: media.VideoIndex, b: media.VideoIndex) -> None:
    import numpy as np

    from vidswap.graph import InputError

    if a.frame_count != b.frame_count:
        raise InputError(
            f"{a.path.name} has {a.frame_count} frames and {b.path.name} has {b.frame_count}; "
            "give two videos with as many frames"
        )
    tick = max(float(a.time_base), float(b.time_base))
    own, other = ((np.asarray(i.pts, np.float64) - float(i.pts[0])) * float(i.time_base) for i in (a, b))
    apart = np.abs(own - other)
    if float(apart.max(initial=0.0)) > 1.001 * tick:
        frame = int(np.argmax(apart > 1.001 * tick))
        raise InputError(
            f"frame {frame} is at {own[frame]:.3f} s in {a.path.name} and at {other[frame]:.3f} s in {b.path.name}; "
            "give two videos with equal times"
        )


def _even(side: int) -> int:
    return side + side % 2
