"""A pipeline without pixels of the real world: every number can be checked by hand.

A picture is one number; the toy video is a text file with the number of frames, and "blind" if it has no faces. Frames
that leave 3 when divided by 7 have no face. The encoder writes numbers as text; joining concatenates.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vidswap.graph import Batch, InputError, NoOptions, Operator, Options, VidswapError, object_column


@dataclass
class ToyVideo:
    path: Path
    frame_count: int
    blind: bool = False
    keyframes: list[int] = field(default_factory=lambda: [0])
    width: int = 4
    height: int = 4

    @property
    def pts(self):
        return np.arange(self.frame_count) * 10

    @property
    def content_hash(self):
        return f"toy-{self.frame_count}"


@dataclass
class ToyPicture:
    frame: int
    pts: int
    value: float
    blind: bool = False


class Decode(Operator[NoOptions]):
    kind, each = "decode", "frame"

    def probe(self, path):
        try:
            words = Path(path).read_text().split()
            return ToyVideo(path, int(words[0]), "blind" in words)
        except (ValueError, IndexError):
            raise InputError(f"{path} is not a toy video") from None

    def trim(self, video, start, end):
        raise InputError("toy videos are not trimmed")

    def read(self, video, start, stop):
        for i in range(start, stop):
            yield ToyPicture(i, i * 10, float(i), blind=video.blind)

    def take_warnings(self):
        return []


class Detect(Operator[NoOptions]):
    kind, each, yields = "detect", "frame", "face"
    needs, gives = ("picture",), ("box", "weight")

    def __call__(self, batch):
        blind = np.array([picture.blind for picture in batch["picture"]])
        faces = batch.take((batch["frame"] % 7 != 3) & ~blind)
        box = np.zeros((len(faces), 4), np.float32)
        box[:, 2:] = 100
        return Batch(frame=faces["frame"], pts=faces["pts"], box=box, weight=np.sin(faces["frame"].astype(float)))


class TrackOptions(Options):
    die_at: int = -1


class Track(Operator[TrackOptions]):
    """Numbers faces over the whole video: right only if segments come in order, once each."""

    kind, ordered = "detect", True
    needs, gives = ("box",), ("track",)
    Options = TrackOptions

    def scan(self, batch, carry):
        first = carry or 0
        return batch.with_columns(track=np.arange(first, first + len(batch))), first + len(batch)


class SmoothOptions(Options):
    radius: int = 3


class Smooth(Operator[SmoothOptions]):
    kind = "smooth"
    needs, uses, gives = ("weight", "track"), ("own",), ("weight",)
    Options = SmoothOptions

    def __init__(self, options):
        super().__init__(options)
        self.context = options.radius

    def __call__(self, batch):
        frame, weight = batch["frame"], batch["weight"]
        total = np.zeros(len(batch))
        for tap in range(-self.options.radius, self.options.radius + 1):
            at = np.searchsorted(frame, frame + tap)
            there = (at < len(frame)) & (frame[np.minimum(at, len(frame) - 1)] == frame + tap)
            total = total + np.where(there, weight[np.minimum(at, len(frame) - 1)], 0.0)
        # Only the segment's own rows are looked at by anyone.
        own = batch["own"] if self.context else True
        return batch.with_columns(weight=np.where(own, total, np.nan))


class BlendOptions(Options):
    """`held_by` names a file: as long as it is there, frame 128 is not begun."""

    fail_at: int = -1
    crash_at: int = -1
    hang_at: int = -1
    hang_once: str = ""
    held_by: str = ""
    pause_s: float = 0.0
    setup_fails: bool = False


class Blend(Operator[BlendOptions]):
    kind = "blend"
    needs, gives, needs_source = ("picture", "weight", "track"), ("picture",), ("weight",)
    Options = BlendOptions

    def setup(self, setting):
        if self.options.setup_fails:
            raise RuntimeError("the model is not there")
        self.source = float(setting.sources["source"]["weight"][0])

    def __call__(self, batch):
        for row in batch.rows():
            if row["frame"] == self.options.fail_at:
                raise ValueError("poisoned frame")
            if row["frame"] == self.options.crash_at:
                os.abort()
            if row["frame"] == self.options.hang_at:
                time.sleep(600)
            if self.options.hang_once and row["frame"] == 32 and not Path(self.options.hang_once).exists():
                Path(self.options.hang_once).write_text("")
                time.sleep(600)
            while self.options.held_by and row["frame"] == 128 and Path(self.options.held_by).exists():
                time.sleep(0.05)
            if self.options.pause_s:
                time.sleep(self.options.pause_s)
            row["picture"].value += float(row["weight"]) + 1000 * float(row["track"]) + self.source
        return batch


class BlendWithThread(Blend):
    """Its packages start a thread when they are loaded."""

    @classmethod
    def preload(cls):
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()


class Encode(Operator[NoOptions]):
    kind, each = "encode", "frame"
    extension = ".txt"

    def check(self, video, output):
        pass

    def begin(self, path, video, threads):
        self.file, self.count = path.open("w"), 0

    def write(self, picture):
        self.file.write(f"{picture.frame} {picture.pts} {picture.value!r}\n")
        self.count += 1

    def finish(self):
        self.file.close()
        return {"frames": self.count}

    def verify(self, path, frames):
        if path.read_text().count("\n") != frames:
            raise VidswapError(f"{path.name} does not hold {frames} frames")

    def abort(self):
        self.file.close()

    def why_not_copied(self, video, output):
        return "numbers have no packets"

    def join(self, video, segments, output, notes, copied=()):
        output.write_text("".join(p.read_text() for p in segments))
        return []

    def can_copy(self, video, output):
        return False


class Flip(Operator[NoOptions]):
    """A stage on frames, as a plug-in would add."""

    kind, each = "blend", "frame"
    needs, gives = ("picture",), ("picture",)

    def __call__(self, batch):
        for picture in batch["picture"]:
            picture.value = -picture.value
        return batch


def toy_pipeline(**options):
    stages = [
        {"use": f"toy:{name}", "name": name.lower(), "options": options.get(name.lower(), {})}
        for name in ("Decode", "Detect", "Track", "Smooth", "Blend", "Encode")
    ]
    return {"name": "toy", "sources": {"source": {"about": "a number"}}, "stages": stages}


__all__ = ["ToyPicture", "ToyVideo", "object_column", "toy_pipeline"]
