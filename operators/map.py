"""Map: from what is known of source and target to what will be rendered."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field, field_validator

from vidswap.faces import folds, shape
from vidswap.graph.batch import Batch
from vidswap.graph.operator import Operator, Options, Setting

from .generate import chosen_regions, people_of


class MapMeshOptions(Options):
    """How far the source's shape is taken over, and where."""

    strength_shape: float = Field(1.0, ge=0, le=1, description="share of the source's shape; 0 keeps the target's")
    regions: str = Field("all", description="brows,eyes,nose,mouth,skin: those whose shape changes; or all")

    @field_validator("regions", mode="before")
    @classmethod
    def _known(cls, value: Any) -> str:
        return chosen_regions(value)


class MapMesh(Operator[MapMeshOptions]):
    """`shape`: pose and expression of the target with the inner shape of the source.

    Where `resting` says how the target is at rest, more of the shape is the source's.
    """

    kind = "map"
    needs = ("landmarks",)
    uses = ("source", "resting")
    gives = ("shape",)
    needs_source = ("landmarks",)
    Options = MapMeshOptions

    def setup(self, setting: Setting) -> None:
        """Take the shape of each person: the mean over that person's pictures."""
        regions, strength = self.options.regions.split(","), self.options.strength_shape
        self._people = []
        for person in setting.people():
            own = np.mean([shape.identity_shape(points) for points in person["landmarks"]], axis=0)
            smiling = float(np.mean([folds.smile(points) for points in person["landmarks"]]))
            self._people.append(shape.Likeness(own, regions, strength, smiling))

    def __call__(self, batch: Batch) -> Batch:
        """Adds shape (478, 3) float32 to each row."""
        becomes = people_of(batch, len(self._people))
        resting = batch["resting"] if "resting" in batch else [None] * len(batch)
        faces = zip(becomes, batch["landmarks"], resting, strict=True)
        worn = [self._people[person].wear(points, rests) for person, points, rests in faces]
        return batch.with_columns(shape=np.stack(worn))
