"""Invert by encoders: from the aligned face to its code in W+. e4e, pSp and ReStyle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from vidswap.faces import alignment, ffhq_padding
from vidswap.graph.batch import Batch
from vidswap.media.geometry import compose, invert
from vidswap.media.resample import sample

from .learned import Learned, LearnedOptions, LearnedT

if TYPE_CHECKING:
    import torch

    from vidswap.latents.inversion import Inverter, LoadedEncoder


WHOLE = "whole code"
"""Under this name the shape of all rows stands among the sizes that stages tell each other; no column has it."""


class InvertE4EOptions(LearnedOptions):
    """Weights of e4e, and how it runs."""

    weights: str = Field("e4e-ffhq", description="a name of `vidswap weights list`, a file, or random, random:256")
    rows: int | None = Field(
        None, ge=1, description="the first so many rows of the code alone; the others cost nothing"
    )


class InvertPSPOptions(LearnedOptions):
    """Weights of pSp, and how it runs."""

    weights: str = Field("psp-ffhq", description="a name of `vidswap weights list`, a file, or random, random:256")


class InvertReStyleOptions(LearnedOptions):
    """Weights of ReStyle, how it runs, and how often it looks."""

    weights: str = Field(
        "restyle-e4e-ffhq", description="a name of `vidswap weights list`, a file, or random, random:256"
    )
    steps: int = Field(5, ge=1, le=20, description="passes; the first one starts from the mean face")
    kind: Literal["auto", "psp", "e4e"] = Field("auto", description="what it is built on; auto asks the checkpoint")


class _Encoding(Learned[LearnedT]):
    """Adds `wplus` to each row. The face is sampled from the frame at 256 px, whatever the crop's size."""

    needs = ("picture", "matrix", "crop")
    gives = ("wplus",)
    served = True
    method: ClassVar[Literal["e4e", "psp", "restyle"]]

    def load(self) -> LoadedEncoder:
        """The encoder, with its mean code and, for ReStyle, its decoder."""
        from vidswap.latents.inversion import load_encoder

        return load_encoder(self.options.weights, self.method, getattr(self.options, "kind", "auto"))

    def fits(self, loaded: LoadedEncoder, sizes: dict[str, tuple[int, ...]]) -> None:
        """Say of which shape the codes will be."""
        rows, width = loaded.mean.shape
        sizes[WHOLE] = rows, width
        sizes["wplus"] = (min(rows, getattr(self.options, "rows", None) or rows), width)

    def start(self, loaded: LoadedEncoder, device: torch.device) -> None:
        """Bring the encoder to the device."""
        from vidswap.latents.inversion import Inverter

        options = self.options
        self._inverter: Inverter = Inverter(
            loaded,
            device=device,
            precision=options.precision,
            batch=options.batch,
            steps=getattr(options, "steps", 1),
            rows=getattr(options, "rows", None),
        )

    def prepare(self, batch: Batch) -> Batch:
        """The faces at 256 px, as the column `seen`."""
        rows = zip(batch["picture"], batch["matrix"], batch["crop"], strict=True)
        return Batch(frame=batch["frame"], seen=np.stack([sampled(*row) for row in rows]))

    def __call__(self, batch: Batch) -> Batch:
        """Adds wplus (L, 512) float32 to each row."""
        from vidswap.nets.devices import threads

        faces = batch["seen"] if "seen" in batch else self.prepare(batch)["seen"]
        with threads(self._threads):
            codes = self._inverter(faces)
        self.told += self._inverter.warnings
        self._inverter.warnings = []
        return batch.with_columns(wplus=codes)


class InvertE4E(_Encoding[InvertE4EOptions]):
    """e4e (Tov et al. 2021): codes near W, which can be edited."""

    kind, method = "invert", "e4e"
    Options = InvertE4EOptions


class InvertPSP(_Encoding[InvertPSPOptions]):
    """pSp (Richardson et al. 2021): codes in W+, or in W where the weights say so."""

    kind, method = "invert", "psp"
    Options = InvertPSPOptions


class InvertReStyle(_Encoding[InvertReStyleOptions]):
    """ReStyle (Alaluf et al. 2021): codes that are mended in a few passes by comparing the face with its render."""

    kind, method = "invert", "restyle"
    Options = InvertReStyleOptions


def sampled(picture: Any, matrix: np.ndarray, crop: np.ndarray, side: int = 256) -> np.ndarray:
    """The square of a crop (S, S, 3), cut out of the frame at `side` px: (side, side, 3) uint8 RGB.

    matrix: frame pixels to the crop's. A crop of that size is itself, but where it leaves the frame: encoders and
    generators know what FFHQ shows there, not repeated pixels.
    """
    size = crop.shape[0]
    if size == side and ffhq_padding.patch(matrix, side, picture.width, picture.height) is None:
        return crop
    return square_of(picture, alignment.resized(matrix, size, side), side)


def square_of(picture: Any, matrix: np.ndarray, side: int) -> np.ndarray:
    """(side, side, 3) uint8 RGB, cut out of a frame by a similarity (2, 3); padded where it leaves the frame."""
    where = ffhq_padding.patch(matrix, side, picture.width, picture.height)
    if where is None:
        return np.asarray(picture.crop(matrix, (side, side)))
    image = ffhq_padding.padded(picture.crop(where.matrix, where.size), where)
    made = sample(image, compose(where.padded_matrix, invert(matrix)), (side, side))
    return np.asarray(np.clip(np.rint(made), 0, 255), np.uint8)
