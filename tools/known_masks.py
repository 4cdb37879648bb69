"""How well what stands before a face stays before it: things put over clips, masks known, swapped, and counted.

    python tools/known_masks.py CLIP [CLIP ...] --source PORTRAIT [--drawn 6] [--frames 72] [-o FOLDER]

Before the largest face of each clip pass or stay: hands of the face's own colour, a microphone, a cup, a sheet of
paper; it wears a mask, a fringe, glasses (with --glasses; not for a face that wears some); and so many things of any
shape, colour and texture as --drawn says (`covering_things`), worn or drifting. Each clip so made is swapped by the
command itself, into FFV1. A frame is bad where the new face shows (luma changed by more than 20) over more than 5 % of
the face, which is the hull of the bare clip's landmarks, within the thing. `lost` is how much of what a swap of the
bare clip changes, beside the thing, stays unchanged: faces that are not found, and masks that are too wide.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import covering_things as drawing
import occluders

from vidswap import media
from vidswap.faces.detection import find_faces
from vidswap.faces.mediapipe_models import load_face_model

SHOWS, CHANGED, UNCHANGED = 20, 12, 6  # levels of luma
MOST = 0.05  # of the face
INSIDE, BESIDE = 0.95, 0.02  # cover from which on a pixel is the thing's; up to which it is the face's
CHEEKS = ([117, 118, 101, 205, 187], [346, 347, 330, 425, 411])

Drawn = tuple[np.ndarray, np.ndarray]
"""A frame (h, w, 3) uint8 RGB with a thing, and its cover (h, w) float32 0..1."""


@dataclass(frozen=True)
class Clip:
    """Frames (N, h, w, 3) uint8 RGB of a clip, their rate, and the landmarks (N, 478, 3) of its largest face."""

    frames: np.ndarray
    rate: float
    points: np.ndarray

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the face in pixels."""
        width, height = np.median(np.ptp(self.points[..., :2], axis=1), axis=0)
        return float(width), float(height)


def read(path: Path, count: int, side: int) -> Clip:
    """The first frames of a clip that show a face, at most `side` pixels on the longer side."""
    model, index = load_face_model(), media.probe(path)
    scale = min(1.0, side / max(index.width, index.height))
    width, height = (2 * max(1, round(v * scale / 2)) for v in (index.width, index.height))
    frames: list[np.ndarray] = []
    points: list[np.ndarray] = []
    for picture in media.read(index, 0, index.frame_count):
        found = find_faces(picture, model)
        if not len(found):
            if frames:
                break
            continue
        if points:
            chosen = int(np.argmin([np.linalg.norm(p[1] - points[-1][1] / scale) for p in found.landmarks]))
        else:
            chosen = int(np.argmax(found.boxes[:, 3] - found.boxes[:, 1]))
        frames.append(picture.rgb(width, height))
        points.append(found.landmarks[chosen] * scale)
        if len(frames) == count:
            break
    if not frames:
        raise SystemExit(f"{path}: no face found")
    return Clip(np.stack(frames), index.frame_count / max(index.duration_s, 1e-3), np.stack(points))


def things(clip: Clip, seed: str, drawn: int, glasses: bool) -> Iterator[tuple[str, Callable[[int], Drawn]]]:
    """Names of things and what puts them into frame `i` of a clip."""
    skin = skin_of(clip)
    up = occluders.passing(0.1, 0.9, 0.25)

    def rising(x: float, y: float, turn: float = 0.0) -> Callable[[float], tuple[float, float, float] | None]:
        def place(time: float) -> tuple[float, float, float] | None:
            low = up(time)
            return None if low is None else (x + 0.02 * np.sin(9 * time), y + low, turn)

        return place

    def aside(y: float, turn: float, reach: float) -> Callable[[float], tuple[float, float, float]]:
        return lambda time: (reach * np.cos(np.pi * (1.2 * time - 0.1)), y + 0.05 * np.sin(7 * time), turn + 10 * time)

    def resting(time: float) -> tuple[float, float, float]:
        return 0.05 + 0.03 * np.sin(11 * time), 0.75 + 0.02 * np.cos(13 * time), 5.0

    yield "hand rises", moved(clip, occluders.hand(0.97 * skin, 1), rising(0.1, 0.5, 10))
    yield "hand at cheek", moved(clip, occluders.hand(0.85 * skin, 2), rising(0.5, 0.2, -35))
    yield "hand passes", moved(clip, occluders.hand(1.05 * skin, 3), aside(0.15, 80, 1.5))
    yield "microphone stays", moved(clip, occluders.microphone(), resting)
    yield "microphone rises", moved(clip, occluders.microphone(), rising(-0.2, 0.7, -20))
    yield "cup rises", moved(clip, occluders.cup(), rising(0.0, 0.35))
    yield "paper passes", moved(clip, occluders.paper(), aside(0.3, 0, 1.2))
    yield "mask", lambda i: occluders.surgical_mask(clip.frames[i], clip.points[i])
    yield "fringe", lambda i: occluders.fringe(clip.frames[i], clip.points[i])
    if glasses:
        yield "thin glasses", lambda i: occluders.glasses(clip.frames[i], clip.points[i])
        yield "plastic glasses", lambda i: occluders.plastic_glasses(clip.frames[i], clip.points[i], (24, 22, 24))
        yield "dark glasses", lambda i: occluders.plastic_glasses(clip.frames[i], clip.points[i], (28, 27, 30), True)
    hand = occluders.hand(skin, 5)
    for number in range(drawn):
        rng = np.random.default_rng(zlib.crc32(f"{seed}{number}".encode()))
        thing = drawing.make(rng, skin, [(hand.image.astype(np.float32), hand.cover)])
        yield f"{number} {thing.kind}{' worn' if thing.worn else ''}", worn(clip, thing, rng.normal(0, 0.35, 2))


def skin_of(clip: Clip) -> np.ndarray:
    """(3,) colour of the cheeks in the first frame."""
    mask = np.zeros(clip.frames.shape[1:3], np.uint8)
    for ring in CHEEKS:
        cv2.fillPoly(mask, [np.rint(clip.points[0][ring, :2]).astype(np.int32)], 1)
    return np.asarray(np.median(clip.frames[0][mask > 0], 0), float)


def moved(
    clip: Clip, thing: occluders.Thing, path: Callable[[float], tuple[float, float, float] | None]
) -> Callable[[int], Drawn]:
    """Puts a thing where a path says by time 0..1: x, y in faces from where the nose mostly is, and a turn."""
    nose, (width, height) = np.median(clip.points[:, 1, :2], axis=0), clip.size

    def put(i: int) -> Drawn:
        at = path(i / max(len(clip.frames) - 1, 1))
        if at is None:
            return clip.frames[i], np.zeros(clip.frames.shape[1:3], np.float32)
        centre = (nose[0] + at[0] * width, nose[1] + at[1] * height)
        return occluders.put(clip.frames[i], thing, centre, width * thing.width, at[2])

    return put


def worn(clip: Clip, thing: drawing.Thing, drift: np.ndarray) -> Callable[[int], Drawn]:
    """Puts a drawn thing on the face, or lets it drift over the picture by so many faces to either side."""
    count, side = len(clip.frames), max(clip.frames.shape[1:3])

    def put(i: int) -> Drawn:
        frame = clip.frames[i]
        axes = drawing.axes_of(clip.points[i if thing.worn else count // 2])
        if not thing.worn:
            off = (2 * i / max(count - 1, 1) - 1) * drift * clip.size
            axes = drawing.Axes(axes.origin + off, axes.across, axes.down)
        image, cover = (part[: frame.shape[0], : frame.shape[1]] for part in thing.draw(axes, side))
        return np.clip(np.rint(frame + cover[..., None] * (image - frame)), 0, 255).astype(np.uint8), cover

    return put


def write(path: Path, frames: list[np.ndarray], rate: float) -> Path:
    """The frames as H.264, hardly compressed."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=round(rate))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "14", "preset": "fast"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
    return path


def changes(source: Path, clip: Path) -> np.ndarray:
    """(N, h, w) int16: by how much a swap of the clip changes its luma."""
    result = clip.with_name(f"{clip.stem}-swapped.mkv")
    command = [sys.executable, "-m", "vidswap.cli", "swap", "-s", source, "-t", clip, "-o", result]
    command += ["--face", "all", "--codec", "ffv1", "-y", "-q"]
    subprocess.run([str(part) for part in command], check=True)
    return np.abs(luma(result) - luma(clip))


def luma(path: Path) -> np.ndarray:
    """(N, h, w) int16."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)]).astype(np.int16)


def hull(points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(h, w) bool: the face with landmarks (478, 3)."""
    outline = cv2.convexHull(np.rint(points[:, :2]).astype(np.int32))
    return cv2.fillPoly(np.zeros(shape, np.uint8), [outline], 1) > 0


def compared(points: np.ndarray, covers: np.ndarray, bare: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """(N, 2): share of the face in which the new one lies over the thing; share that it lost beside the thing."""
    rows = []
    for face, cover, without, now in zip(points, covers, bare, changed, strict=True):
        inside = hull(face, cover.shape)
        beside = inside & (cv2.dilate((cover > BESIDE).astype(np.uint8), np.ones((9, 9))) == 0)
        wanted = beside & (without > CHANGED)
        enough = wanted.sum() > MOST * inside.sum()
        lost = 1 - (wanted & (now > UNCHANGED)).sum() / wanted.sum() if enough else 0.0
        rows.append((((now > SHOWS) & (cover > INSIDE)).sum() / max(inside.sum(), 1), lost))
    return np.array(rows)


def main() -> None:
    """Print a line for each thing, and the sum."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("clips", type=Path, nargs="+", metavar="CLIP")
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=72)
    parser.add_argument("--side", type=int, default=1280)
    parser.add_argument("--drawn", type=int, default=6)
    parser.add_argument("--glasses", action="store_true")
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    total = bad = 0
    with tempfile.TemporaryDirectory() as name:
        folder = given.output or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        for path in given.clips:
            clip = read(path, given.frames, given.side)
            bare = changes(given.source, write(folder / f"{path.stem}.mp4", list(clip.frames), clip.rate))
            for what, put in things(clip, path.stem, given.drawn, given.glasses):
                drawn = [put(i) for i in range(len(clip.frames))]
                made = folder / f"{path.stem}-{what.replace(' ', '-')}.mp4"
                changed = changes(given.source, write(made, [frame for frame, _ in drawn], clip.rate))
                rows = compared(clip.points, np.stack([cover for _, cover in drawn]), bare, changed)
                over = int((rows[:, 0] > MOST).sum())
                total, bad = total + len(rows), bad + over
                numbers = f"{over:3d} of {len(rows)} bad, worst {rows[:, 0].max():.3f}, lost {rows[:, 1].mean():.2f}"
                print(f"{path.stem:20s} {what:20s} {numbers}", flush=True)
    print(f"{bad} of {total} frames in which the new face lies over a thing by more than {MOST:.0%} of the face")


if __name__ == "__main__":
    main()
