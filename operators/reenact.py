"""Reenact: the stages of a pipeline whose target drives a portrait."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from vidswap import media
from vidswap.faces import reenactment
from vidswap.graph.batch import Batch
from vidswap.graph.errors import InputError
from vidswap.graph.operator import NoOptions, Operator, Options, Setting

_FADE = 10
_MOUTH_CROP = 160


class CanvasOptions(Options):
    """Size of the picture that is written."""

    width: int = Field(512, ge=64, le=4096, multiple_of=2, description="px; the portrait is fitted in")
    height: int = Field(512, ge=64, le=4096, multiple_of=2, description="px")


class BlendPortraitOptions(CanvasOptions):
    """Size, and what is kept of the driver."""

    sound: bool = Field(True, description="keep the driver's sound and other streams")


def placed(size: tuple[int, int], canvas: tuple[int, int]) -> np.ndarray:
    """(2, 3) from pixels of a portrait of `size` to a canvas that it covers, both (w, h); the middle is kept."""
    scale = max(canvas[0] / size[0], canvas[1] / size[1])
    offset = [(c - 1) / 2 - scale * (s - 1) / 2 for s, c in zip(size, canvas, strict=True)]
    return np.array([[scale, 0.0, offset[0]], [0.0, scale, offset[1]]])


class InvertPortrait(Operator[CanvasOptions]):
    """The portrait on the canvas, and its landmarks there."""

    kind = "invert"
    needs = ("picture", "landmarks")
    gives = ("portrait", "portrait_landmarks")
    Options = CanvasOptions
    batch_size = 1

    def __call__(self, batch: Batch) -> Batch:
        """Adds portrait (h, w, 3) uint8 and portrait_landmarks (478, 3) float32 to each row."""
        size = (self.options.width, self.options.height)
        images, points = [], []
        for picture, landmarks in zip(batch["picture"], batch["landmarks"], strict=True):
            matrix = placed((picture.width, picture.height), size)
            images.append(picture.crop(matrix, size))
            moved = landmarks * matrix[0, 0]
            moved[:, :2] += matrix[:, 2]
            points.append(moved.astype(np.float32))
        return batch.with_columns(portrait=np.stack(images), portrait_landmarks=np.stack(points))


class SmoothPresence(Operator[NoOptions]):
    """How far a face drives: 1, falling to 0 towards the frames in which it is not seen, so that nothing jumps."""

    kind = "smooth"
    needs = ("track",)
    gives = ("presence",)
    context = _FADE

    def setup(self, setting: Setting) -> None:
        """Take the length of the video, whose ends are no leaving."""
        self._count = None if setting.video is None else int(setting.video.frame_count)

    def __call__(self, batch: Batch) -> Batch:
        """Adds presence (N,) float32, 0..1."""
        presence = np.ones(len(batch), np.float32)
        tracks, frames = batch["track"], batch["frame"]
        for number in np.unique(tracks):
            rows = np.flatnonzero(tracks == number)
            seen = set(frames[rows].tolist())
            for row in rows:
                apart = (k for k in range(1, _FADE) if not self._goes_on(int(frames[row]), k, seen))
                t = next(apart, _FADE) / _FADE
                presence[row] = t * t * (3 - 2 * t)
        return batch.with_columns(presence=presence)

    def _goes_on(self, frame: int, apart: int, seen: set[int]) -> bool:
        ends = (f for f in (frame - apart, frame + apart) if f >= 0 and (self._count is None or f < self._count))
        return all(f in seen for f in ends)


class GenerateReenact(Operator[CanvasOptions]):
    """The portrait in the driver's pose and with its expression, in place of the driver's picture."""

    kind = "generate"
    needs = ("picture", "landmarks", "presence")
    gives = ("picture",)
    needs_source = ("portrait", "portrait_landmarks", "landmarks")
    Options = CanvasOptions

    def setup(self, setting: Setting) -> None:
        """Prepare the portrait; find the driver's neutral moment. Raises InputError for a face too small."""
        portrait, driver = setting.sources["source"], setting.sources["driver"]
        neutral, resting = reenactment.at_rest(driver["landmarks"])
        self._reenactor = reenactment.Reenactor(
            portrait["portrait"][0], portrait["portrait_landmarks"][0], neutral, resting
        )
        self._kind = media.PictureKind(media.canvas(setting.video, self.options.width, self.options.height))

    def __call__(self, batch: Batch) -> Batch:
        """Replaces each row's picture."""
        done: set[int] = set()
        for row in batch.rows():
            # The driver is one face: the first where two tracks share a frame.
            if int(row["frame"]) in done:
                continue
            done.add(int(row["frame"]))
            picture: Any = row["picture"]
            mouth = mouth_of(picture, row["landmarks"])
            image = self._reenactor.perform(row["landmarks"], float(row["presence"]), mouth)
            picture.repaint(self._kind, image)
        return batch


def mouth_of(picture: Any, landmarks: np.ndarray) -> reenactment.Mouth:
    """The driver's mouth, cut out of the frame."""
    lips = landmarks[list(reenactment.topology.LIPS_OUTER), :2].astype(np.float64)
    middle = (lips.min(0) + lips.max(0)) / 2
    side = max(8.0, 1.5 * float(np.ptp(lips, axis=0).max()))
    scale = _MOUTH_CROP / side
    offset = (_MOUTH_CROP - 1) / 2 - scale * middle
    matrix = np.array([[scale, 0.0, offset[0]], [0.0, scale, offset[1]]])
    return reenactment.Mouth(picture.crop(matrix, (_MOUTH_CROP, _MOUTH_CROP)), landmarks[:, :2] * scale + offset)


class BlendPortrait(Operator[BlendPortraitOptions]):
    """The portrait at rest in the frames without a driver's face; makes the result the canvas's size."""

    kind, each = "blend", "frame"
    needs = ("picture",)
    gives = ("picture",)
    needs_source = ("portrait",)
    Options = BlendPortraitOptions

    def canvas(self, video: Any) -> Any:
        """The driver's times on the canvas."""
        return media.canvas(video, self.options.width, self.options.height, sound=self.options.sound)

    def setup(self, setting: Setting) -> None:
        """Take the portrait."""
        self._portrait = setting.sources["source"]["portrait"][0]
        self._kind = media.PictureKind(self.canvas(setting.video))

    def __call__(self, batch: Batch) -> Batch:
        """Replaces pictures that no face has replaced."""
        for picture in batch["picture"]:
            if not picture.changed:
                picture.repaint(self._kind, self._portrait)
        return batch


def canvas_size(portrait: media.VideoIndex, largest: int) -> tuple[int, int]:
    """Even width and height of the canvas for a portrait, its longer side at most `largest` px.

    Raises InputError for a portrait too small or too narrow.
    """
    scale = min(1.0, largest / max(portrait.width, portrait.height))
    width, height = (2 * max(1, round(side * scale / 2)) for side in (portrait.width, portrait.height))
    if min(width, height) < 64:
        raise InputError(f"portrait {portrait.path.name}: {width}x{height} pixels are too few; 64 a side it takes")
    return width, height
