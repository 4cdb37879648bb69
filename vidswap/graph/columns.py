"""The columns that operators share: shape, dtype and meaning.

Conventions, for all columns and all code: images are RGB, height x width x 3; points are x, y in pixels with the
centre of the first pixel at (0, 0); boxes are x0, y0, x1, y1 in the same coordinates; a frame is meant as it is
displayed, that is after rotation and with square pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Column:
    """What a column holds.

    `shape` is the shape of one row; a string in it is a free dimension, and equal strings within one row are equal
    sizes. `ragged` columns hold one array per row in an object array, so that rows may differ in their free dimensions.
    A `transient` column lives in the memory of one worker: it is never stored and never sent.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str
    meaning: str
    transient: bool = False
    ragged: bool = False

    def check(self, values: np.ndarray) -> str | None:
        """Say in one line how `values` (rows first) differ from this column, or None when they fit."""
        if self.ragged or self.dtype == "object":
            if values.dtype != object or values.ndim != 1:
                return f"column {self.name} holds one object per row, got {values.dtype} of shape {values.shape}"
            return None
        if self.dtype != "any" and values.dtype != np.dtype(self.dtype):
            return f"column {self.name} is {self.dtype}, got {values.dtype}"
        if len(values.shape) - 1 != len(self.shape):
            return f"column {self.name} has rows of shape {self.shape}, got {values.shape[1:]}"
        sizes: dict[str, int] = {}
        for want, got in zip(self.shape, values.shape[1:], strict=True):
            if got != (want if isinstance(want, int) else sizes.setdefault(want, got)):
                return f"column {self.name} has rows of shape {self.shape}, got {values.shape[1:]}"
        return None


STANDARD_COLUMNS: dict[str, Column] = {
    c.name: c
    for c in (
        Column("frame", (), "int64", "index of the frame in the video, presentation order, from 0"),
        Column("pts", (), "int64", "presentation timestamp in units of the stream's time base"),
        Column("look", (), "bool", "whether the frame is searched for faces; others are not read for it"),
        Column(
            "own",
            (),
            "bool",
            "whether the row is of the segment itself, not of its neighbours; for operators with context",
            transient=True,
        ),
        Column("picture", (), "object", "the frame's native planes (vidswap.media.Picture)", transient=True),
        Column("box", (4,), "float32", "x0, y0, x1, y1 in pixels of the displayed frame"),
        Column("score", (), "float32", "confidence of the detector, 0..1"),
        Column("signature", (64,), "float32", "8x8 luma thumbnail of the whole frame, 0..1, tells shots apart"),
        Column("track", (), "int64", "face track within the shot; -1 before faces are joined into tracks"),
        Column("source", (), "int64", "which of the people bound as sources the face becomes, from 0"),
        Column(
            "landmarks", (478, 3), "float32", "MediaPipe topology, pixels of the displayed frame, z in the same scale"
        ),
        Column("light", ("K", 3), "float32", "mean linear-light RGB, 0..1, of the skin samples of the face"),
        Column("darkest", (3,), "float32", "RGB 0..255 below which the face shows next to nothing: haze lifts it"),
        Column("eyewear", (), "float32", "how surely glasses are worn, 0..1"),
        Column("irises", (2, 4), "float32", "right and left: RGB 0..255 of the iris times trust, and the trust, 0..1"),
        Column("nostrils", (), "float32", "cosine of the angle between the viewer and what is around the nostrils"),
        Column("resting", ("M",), "float32", "how the face lies along the directions of motion, and how surely"),
        Column("rims", (32, 48), "uint8", "255 where rims of glasses lie, in an upright rectangle around the eyes"),
        Column("appearance", ("K", 6), "uint8", "colour, detail, visibility and hands per cell of the face"),
        Column("occluded", ("K",), "uint8", "255 where something stands before that cell of the face"),
        Column("beard", ("K",), "uint8", "255 where a beard of that cell of the face gives way to the new one"),
        Column("quad_axes", (3, 2), "float64", "rows c, x, y of the FFHQ square c +- x +- y, frame pixels"),
        Column("matrix", (2, 3), "float64", "similarity from frame pixels to crop pixels"),
        Column("crop", ("S", "S", 3), "uint8", "aligned RGB crop", transient=True, ragged=True),
        Column("regions", ("S", "S"), "uint8", "region labels 0..11 of E4S", transient=True, ragged=True),
        Column(
            "person", ("S", "S"), "float32", "probability of the person against background", transient=True, ragged=True
        ),
        Column("texture", ("T", "T", 3), "uint8", "appearance of the source face in the atlas of the mesh"),
        Column("texture_folded", ("T", "T", 3), "uint8", "the same with the folds of its smile"),
        Column("texture_alpha", ("T", "T"), "float32", "how far the source shows the atlas pixel, 0..1"),
        Column("texture_grown", ("T", "T"), "float32", "how far the atlas pixel was grown over glasses, 0..1"),
        Column("iris", (2, 4), "float32", "of the source's eyes, as `irises`"),
        Column(
            "shape", (478, 3), "float32", "landmarks of the face as it will be rendered, pixels of the displayed frame"
        ),
        Column(
            "driven", ("S", "S", 3), "uint8", "the source's face in the target's place", transient=True, ragged=True
        ),
        Column("driven_regions", ("S", "S"), "uint8", "region labels of the driven face", transient=True, ragged=True),
        Column("vectors", (12, "D"), "float16", "style vectors of the regions; absent regions are zero"),
        Column("driven_vectors", (12, "D"), "float16", "those of the driven face"),
        Column("style_vectors", (12, "D"), "float32", "those of the face that will be generated"),
        Column("wplus", ("L", 512), "float32", "latent codes in W+"),
        Column("tuned", (), "<U64", "digest of the tuned generator that makes the face"),
        Column("style", ("W",), "float32", "latent codes in S, all layers side by side; 9088 at 1024 px"),
        Column("regional", (12, 18, 512), "float32", "one W+ code per region"),
        Column("image", ("S", "S", 3), "uint8", "generated RGB crop", transient=True, ragged=True),
        Column(
            "alpha",
            ("S", "S"),
            "float32",
            "where the generated crop replaces the frame, 0..1",
            transient=True,
            ragged=True,
        ),
    )
}
