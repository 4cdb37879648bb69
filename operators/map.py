"""Map: from what is known of source and target to what will be rendered."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field, field_validator

from vidswap.faces import shape
from vidswap.graph.batch import Batch
from vidswap.graph.operator import Operator, Options, Setting

from .generate import chosen_regions


class MapMeshOptions(Options):
    """How far the source's shape is taken over, and where."""

    strength_shape: float = Field(1.0, ge=0, le=1, description="share of the source's shape; 0 keeps the target's")
    regions: str = Field("all", description="brows,eyes,nose,mouth,skin: those whose shape changes; or all")

    @field_validator("regions", mode="before")
    @classmethod
    def _known(cls, value: Any) -> str:
        return chosen_regions(value)


class MapMesh(Operator[MapMeshOptions]):
    """`shape`: pose and expression of the target with the inner shape of the source."""

    kind = "map"
    needs = ("landmarks",)
    gives = ("shape",)
    needs_source = ("landmarks",)
    Options = MapMeshOptions

    def setup(self, setting: Setting) -> None:
        """Take the source's shape."""
        own = shape.identity_shape(setting.sources["source"]["landmarks"][0])
        self._likeness = shape.Likeness(own, self.options.regions.split(","), self.options.strength_shape)

    def __call__(self, batch: Batch) -> Batch:
        """Adds shape (478, 3) float32 to each row."""
        return batch.with_columns(shape=np.stack([self._likeness.wear(points) for points in batch["landmarks"]]))
