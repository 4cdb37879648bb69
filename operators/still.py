"""Still: the portrait that learned reenactment moves, what its video shows, and where."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from pydantic import Field

from vidswap import media
from vidswap.faces import alignment, blending
from vidswap.graph.batch import Batch
from vidswap.graph.operator import Operator, Setting

from .generate_stylegan import brought
from .invert_encoders import square_of
from .reenact import CanvasOptions, placed

_SMALLEST = 64
"""Pixels a side at which a face that is pasted is joined to its surroundings, at least."""


class StillOptions(CanvasOptions):
    """Size of the animated portrait, and what of it is shown."""

    paste: bool = Field(False, description="the face in the portrait's own picture, instead of the face's square alone")


class PresentOptions(StillOptions):
    """The same, and what is kept and shown of the driver."""

    beside: bool = Field(False, description="portrait, driver and result side by side")
    sound: bool = Field(True, description="keep the driver's sound and other streams")


class InvertStill(Operator[StillOptions]):
    """The portrait at rest, as the video shows it: FFHQ's square around its face, or its picture."""

    kind = "invert"
    needs = ("picture", "landmarks")
    gives = ("still", "still_matrix")
    Options = StillOptions
    batch_size = 1

    def __call__(self, batch: Batch) -> Batch:
        """Adds still (h, w, 3) uint8, and still_matrix (2, 3) from its pixels to FFHQ's square of `width` px."""
        size = (self.options.width, self.options.height)
        stills, matrices = [], []
        for picture, landmarks in zip(batch["picture"], batch["landmarks"], strict=True):
            square = alignment.matrix_of_axes(alignment.ffhq_axes(landmarks), size[0])
            matrix = placed((picture.width, picture.height), size) if self.options.paste else square
            whole = self.options.paste or size[0] != size[1]
            stills.append(picture.crop(matrix, size) if whole else square_of(picture, matrix, size[0]))
            matrices.append(_after(alignment.inverse(matrix), square))
        return batch.with_columns(still=np.stack(stills), still_matrix=np.stack(matrices))


class _Present(Operator[PresentOptions]):
    """What both stages share: the panels, and the portrait at rest in them."""

    kind = "blend"
    gives = ("picture",)
    needs_source = ("still", "still_matrix")
    Options = PresentOptions

    def setup(self, setting: Setting) -> None:
        """Take the portrait at rest."""
        source = setting.sources["source"]
        self._still, self._matrix = source["still"][0], source["still_matrix"][0]
        self._kind = media.PictureKind(_canvas(self.options, setting.video))

    def _show(self, picture: Any, result: np.ndarray) -> None:
        """Replace the driver's picture by the panels."""
        if self.options.beside:
            driver = picture.rgb(_driver_width(picture, self.options.height), self.options.height)
            result = np.hstack([self._still, driver, result])
        picture.repaint(self._kind, result)


class BlendStill(_Present):
    """The generated face alone, or in the portrait's picture; eased to the portrait at rest where the driver leaves."""

    each = "face"
    needs = ("picture", "image")
    uses = ("presence",)

    def __call__(self, batch: Batch) -> Batch:
        """Replaces each row's picture."""
        presence = batch["presence"] if "presence" in batch else np.ones(len(batch), np.float32)
        done: set[int] = set()
        rows = zip(batch["frame"].tolist(), batch["picture"], batch["image"], presence.tolist(), strict=True)
        for frame, picture, image, share in rows:
            # The driver is one face: the first where two tracks share a frame.
            if frame not in done:
                done.add(frame)
                self._show(picture, self._pasted(image, share) if self.options.paste else self._alone(image, share))
        return batch

    def _alone(self, image: np.ndarray, share: float) -> np.ndarray:
        result = brought(image, self.options.width)
        return result if share >= 1 else np.asarray(cv2.addWeighted(result, share, self._still, 1 - share, 0))

    def _pasted(self, image: np.ndarray, share: float) -> np.ndarray:
        """The still with the face in it, joined so that no square shows."""
        side = self.options.width / alignment.scale_of(self._matrix)
        size = min(image.shape[0], max(_SMALLEST, round(side)))
        matrix = alignment.resized(self._matrix, self.options.width, size)
        around = cv2.warpAffine(self._still, matrix, (size, size), borderMode=cv2.BORDER_REPLICATE)
        cover = blending.soft_cover(None, size)
        joined, alpha = blending.join(np.asarray(around), brought(image, size), cover, "multiband")
        back, shown = alignment.inverse(matrix), (self._still.shape[1], self._still.shape[0])
        over = cv2.warpAffine(joined.astype(np.float32), back, shown, flags=cv2.INTER_CUBIC)
        weight = np.float32(share) * cv2.warpAffine(alpha, back, shown)[..., None]
        mixed = self._still + weight * (over - self._still)
        return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


class BlendRest(_Present):
    """The portrait at rest in the frames without a driver's face; makes the result the canvas's size."""

    each = "frame"
    needs = ("picture",)

    def canvas(self, video: Any) -> Any:
        """The driver's times on a picture of one panel or of three."""
        return _canvas(self.options, video)

    def __call__(self, batch: Batch) -> Batch:
        """Replaces pictures that no face has replaced."""
        for picture in batch["picture"]:
            if not picture.changed:
                self._show(picture, self._still)
        return batch


def _canvas(options: PresentOptions, video: Any) -> Any:
    width = options.width * 2 + _driver_width(video, options.height) if options.beside else options.width
    return media.canvas(video, width, options.height, sound=options.sound)


def _driver_width(video: Any, height: int) -> int:
    """Even width of the driver's panel at this height."""
    return 2 * max(1, round(video.width * height / video.height / 2))


def _after(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(2, 3): `first` (2, 3), then `second` (2, 3)."""
    return np.hstack([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2:] + second[:, 2:]])
