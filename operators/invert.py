"""Invert: from the source's picture to what the method knows of the person."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from vidswap.faces import alignment, irises, texture
from vidswap.faces.folds import without_folds
from vidswap.faces.parsing import things_and_beard
from vidswap.faces.spectacles import hidden_by_glasses, without_glasses
from vidswap.graph.batch import Batch
from vidswap.graph.operator import Operator, Options


class InvertMeshOptions(Options):
    """Size of the atlas, and what of the portrait is not taken over."""

    size: int = Field(texture.ATLAS_SIZE, ge=128, le=4096, description="px a side of the texture")
    glasses: Literal["off", "on"] = Field("off", description="what becomes of the portrait's glasses; on paints them")
    folds: Literal["soft", "kept"] = Field(
        "soft", description="folds of a portrait's smile, until the video's face smiles, and creases of its chin"
    )


class InvertMesh(Operator[InvertMeshOptions]):
    """The source's appearance in the atlas of the mesh, and how far its portrait shows it."""

    kind = "invert"
    needs = ("picture", "crop", "matrix", "landmarks", "regions", "person")
    gives = ("texture", "texture_folded", "texture_alpha", "texture_grown", "iris")
    Options = InvertMeshOptions
    batch_size = 1

    def __call__(self, batch: Batch) -> Batch:
        """Adds texture and texture_folded (T, T, 3) uint8, texture_alpha and texture_grown (T, T) float32, and
        iris (2, 4) float32.
        """
        made, folded, eyes, over = [], [], [], []
        for picture, row in zip(batch["picture"], batch.rows(), strict=True):
            points = alignment.transform(row["matrix"], row["landmarks"])
            crop = row["crop"]
            hidden, hair = things_and_beard(crop, points)
            outside = alignment.beyond(row["matrix"], crop.shape[0], picture.width, picture.height)
            hidden = np.maximum(hidden, outside)
            grown = np.zeros(crop.shape[:2], np.float32)
            if self.options.glasses == "off":
                hidden = np.maximum(hidden, hidden_by_glasses(crop, points))
                crop, grown = without_glasses(crop, points)
            crop, wrinkled = (crop, crop) if self.options.folds == "kept" else without_folds(crop, points)
            eyes.append(irises.seen_in_crop(crop, points, hidden))
            parts = row["regions"], row["person"]
            made.append(texture.build_texture(crop, points, *parts, self.options.size, hidden, hair))
            over.append(texture.unroll((grown * 255).astype(np.uint8), points, self.options.size))
            same = wrinkled is crop
            folded.append(made[-1][0] if same else texture.unroll(wrinkled, points, self.options.size))
        return batch.with_columns(
            texture=np.stack([colour for colour, _ in made]),
            texture_folded=np.stack(folded),
            texture_alpha=np.stack([alpha for _, alpha in made]),
            texture_grown=np.stack(over).astype(np.float32) / 255,
            iris=np.stack(eyes),
        )
