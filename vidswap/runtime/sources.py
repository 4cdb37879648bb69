"""Sources: a portrait goes through the pipeline's own stages once, and exactly one face of it is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vidswap.graph import Batch, InputError, Stage, object_column

SMALL_FACE_PIXELS = 96
FRAMES_OF_A_VIDEO = 8  # moments: a few poses of a face, and no more than a second of decoding
_LOOKS, _APART = 7, 3  # at each of these moments of a video that drives, and frames from one to the next
Caller = tuple[Stage, Callable[[Batch], Batch]]


def prepare_source(
    name: str,
    path: Path,
    decoder: Any,
    stages: Sequence[Caller],
    choice: str | None,
    *,
    followed: bool = False,
) -> tuple[Batch, list[str]]:
    """Run the source's stages on a picture, or on some frames of a video, evenly spread.

    Returns columns with one row for each frame in which the face was found, and warnings. Raises InputError when no
    face is found, or several and `choice` does not say which. followed: `choice` is that of the faces of the target,
    of which this source is the same video; of each moment some frames more are looked at, because what is wanted of a
    face that talks (closed lips, open eyes) it shows for a tenth of a second.
    """
    choose = followed_face if followed else choose_face
    video = decoder.probe(path)
    wanted = moments(video.frame_count, _LOOKS if followed else 1)
    where = f"{name} {path}"
    rows: list[Batch] = []
    for run in wanted:
        for picture in decoder.read(video, run.start, run.stop):
            if picture.frame not in run:
                continue
            row = _prepared(picture, stages, lambda faces: choose(faces, choice, where))
            rows += [row] if len(row) else []
    if not wanted:
        raise InputError(f"{where}: it holds no picture that can be decoded; give another portrait")
    if not rows and followed and str(choice).isdecimal() and choice != "0":
        raise InputError(f"{where}: --face {choice}: none of {len(wanted)} moments looked at shows so many faces")
    if not rows:
        given = "video" if followed else "portrait"
        raise InputError(f"{where}: no face found in it; give a {given} where the face is upright and well visible")
    found = Batch.concat(rows)
    return found, small_face(found["box"], where)


def moments(frames: int, looks: int) -> list[range]:
    """Which frames of a video of so many to look at: at moments evenly spread, some on end that follow one another.

    Read run by run, since the first frame of one costs as much as all those before it in its group of pictures.

    >>> moments(80, 1) == [range(n, n + 1) for n in range(5, 80, 10)]
    True
    >>> moments(600, 3)[:2], moments(2, 3)
    ([range(37, 44, 3), range(112, 119, 3)], [range(0, 1, 3), range(1, 2, 3)])
    """
    count = min(frames, FRAMES_OF_A_VIDEO)
    starts = sorted({(2 * i + 1) * frames // (2 * count) for i in range(count)})
    step = _APART if looks > 1 else 1
    stops = [*starts[1:], frames]
    return [range(a, min(a + step * (looks - 1) + 1, b), step) for a, b in zip(starts, stops, strict=True)]


def small_face(boxes: np.ndarray, where: str) -> list[str]:
    """A warning where no box (N, 4) of the source's face is of the size that shows a face well; else none."""
    tallest = float((boxes[:, 3] - boxes[:, 1]).max())
    if tallest >= SMALL_FACE_PIXELS:
        return []
    told = f"{where}: the face is only {tallest:.0f} pixels high; a larger one gives a sharper and steadier result"
    return [told]


def _prepared(picture: Any, stages: Sequence[Caller], choose: Callable[[Batch], Batch]) -> Batch:
    """One row of columns for a picture, none where no face is found in it."""
    batch = Batch(
        frame=np.array([picture.frame], np.int64),
        pts=np.array([picture.pts], np.int64),
        picture=object_column([picture]),
    )
    faces = False
    for stage, call in stages:
        if "picture" not in batch:
            batch = batch.with_columns(picture=object_column([picture] * len(batch)))
        batch = call(batch)
        if stage.operator.yields == "face" and not faces:
            faces = True
            if not len(batch):
                return Batch()
            batch = choose(batch)
        if not len(batch):
            return Batch()
    # Pictures are given up one by one; what is made of them is kept.
    return Batch({n: v for n, v in batch.to_dict().items() if v.dtype != object})


def choose_face(faces: Batch, choice: str | None, where: str) -> Batch:
    """Keep one face by `choice`: largest, left, right, or an index counted from the left, from 0.

    Raises InputError for several without a choice, and for a choice that none answers.

    >>> boxes = np.array([[50, 0, 90, 40], [0, 0, 20, 20]], np.float32)
    >>> choose_face(Batch(frame=np.zeros(2, np.int64), box=boxes), "left", "portrait.png")["box"][0, 2]
    20.0
    """
    boxes = faces["box"]
    heights = boxes[:, 3] - boxes[:, 1]
    from_left = np.argsort(boxes[:, 0] + boxes[:, 2], kind="stable")
    if choice is None and len(faces) > 1:
        sizes = ", ".join(f"{i}: {heights[row]:.0f} px high" for i, row in enumerate(from_left))
        raise InputError(
            f"{where}: {len(faces)} faces found (from the left, {sizes}); "
            "choose with --source-face largest, left, right or an index"
        )
    if choice in (None, "largest"):
        row = int(np.argmax(heights))
    elif choice in ("left", "right"):
        row = int(from_left[0 if choice == "left" else -1])
    elif choice is not None and choice.isdecimal() and int(choice) < len(faces):
        row = int(from_left[int(choice)])
    else:
        raise InputError(f"{where}: --source-face {choice!r} is none of largest, left, right, 0..{len(faces) - 1}")
    return faces.take(slice(row, row + 1))


def followed_face(faces: Batch, choice: str | None, where: str) -> Batch:
    """The face of a frame that a pipeline follows by `choice`, as far as one frame tells; none where it is not there.

    What needs more than one frame (`all`, a likeness) is the largest.
    """
    number = choice is not None and choice.isdecimal()
    if number and int(str(choice)) >= len(faces):
        return faces.take(slice(0, 0))
    return choose_face(faces, choice if number or choice in ("left", "right") else "largest", where)
