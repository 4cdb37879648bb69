"""Generate: images of the face that will be seen."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator

from vidswap.faces import actor, alignment, folds, irises, texture, transfer, unseen
from vidswap.graph.batch import Batch, object_column
from vidswap.graph.operator import Operator, Options, Setting

_LEAST_SHOWN = 0.7  # of eyes, nose, mouth and what lies between
_MOST_WHITE = 0.25  # of those


def chosen_regions(value: Any) -> str:
    """A comma-separated list of regions as given by a user, checked; raises ValueError with the names there are."""
    names = [n.strip() for n in str(value).split(",") if n.strip()]
    if names == ["all"]:
        names = list(actor.REGIONS)
    wrong = [n for n in names if n not in actor.REGIONS]
    if wrong or not names:
        raise ValueError(f"regions is {value!r}; it must be 'all' or some of {', '.join(actor.REGIONS)}")
    return ",".join(n for n in actor.REGIONS if n in names)


def people_of(batch: Batch, count: int) -> np.ndarray:
    """(N,) int64: which of `count` people each row becomes. Where more faces were chosen than people are bound, the
    last one serves for the rest.
    """
    if "source" not in batch:
        return np.zeros(len(batch), np.int64)
    return np.clip(batch["source"], 0, count - 1)


def _smile_folds(person: Batch, plain: np.ndarray) -> folds.SmileFolds | None:
    """What a person's smile adds to the atlas `plain` (T, T, 3) uint8; None of one who does not smile."""
    if np.array_equal(person["texture"], person["texture_folded"]):
        return None
    folded, _ = texture.merged(person["texture_folded"], person["texture_alpha"], person["texture_grown"])
    widest = max(folds.mouth_width(points) for points in person["landmarks"])
    return folds.SmileFolds(plain, folded, widest)


class GenerateMeshOptions(Options):
    """Which parts of the face are made."""

    regions: str = Field("all", description="brows,eyes,nose,mouth,skin: those that change; or all")
    irises: Literal["source", "target"] = Field("source", description="whose colour the eyes have")

    @field_validator("regions", mode="before")
    @classmethod
    def _known(cls, value: Any) -> str:
        return chosen_regions(value)


class GenerateMesh(Operator[GenerateMeshOptions]):
    """The source's texture on the mesh `shape`, in the target's light, with a cover that leaves out what occludes it.

    Eyeballs and the inside of the mouth are the target's; irises have the source's colour.
    """

    kind = "generate"
    needs = ("crop", "matrix", "landmarks", "shape", "regions", "person")
    uses = ("source", "occluded", "beard", "darkest", "eyewear", "irises", "nostrils", "rims")
    gives = ("image", "alpha")
    needs_source = ("landmarks", "texture", "texture_folded", "texture_alpha", "texture_grown", "iris")
    Options = GenerateMeshOptions

    def __init__(self, options: GenerateMeshOptions) -> None:
        super().__init__(options)
        self._told: list[str] = []

    def setup(self, setting: Setting) -> None:
        """Prepare the texture of each person, from all of that person's pictures."""
        regions = self.options.regions.split(",")
        self._actors = []
        people = setting.people()
        for number, person in enumerate(people, 1):
            colour, alpha = texture.merged(person["texture"], person["texture_alpha"], person["texture_grown"])
            hidden = np.max(
                [unseen.unseen(person["landmarks"]), unseen.unseen_lips(alpha), unseen.unseen_eyes(alpha)], axis=0
            )
            grown = unseen.grown_around_eyes(texture.still_grown(person["texture_alpha"], person["texture_grown"]))
            iris = irises.of_a_person(person["iris"]) if self.options.irises == "source" else None
            self._actors.append(actor.Actor(colour, alpha, regions, hidden, iris, _smile_folds(person, colour), grown))
            whose = f" of person {number}" if len(people) > 1 else ""
            if (white := actor.share_white(colour, alpha)) > _MOST_WHITE:
                self._told.append(
                    f"the portrait{whose} is overexposed: {white:.0%} of the face is white and shows neither its "
                    "colour nor its features; give a darker one"
                )
            if (shown := actor.share_shown(alpha)) < _LEAST_SHOWN:
                self._told.append(
                    f"no portrait{whose} shows more than {shown:.0%} of the face; what is hidden is the target's, or "
                    "grown from beside it: give a portrait that shows it as well"
                )

    def take_warnings(self) -> list[str]:
        """Portraits that hide much of a face."""
        told, self._told = self._told, []
        return told

    def __call__(self, batch: Batch) -> Batch:
        """Adds image (S, S, 3) uint8 and alpha (S, S) float32 to each row."""
        images, alphas = [], []
        for row, person in zip(batch.rows(), people_of(batch, len(self._actors)), strict=True):
            points = alignment.transform(row["matrix"], row["landmarks"])
            target = transfer.Target(row["crop"], points, row["regions"], row["person"])
            told = transfer.Told(
                occluded=row.get("occluded"),
                beard=row.get("beard"),
                darkest=row.get("darkest"),
                worn=None if "eyewear" not in row else float(row["eyewear"]),
                rims=row.get("rims"),
                irises=row.get("irises"),
                nostrils=None if "nostrils" not in row else float(row["nostrils"]),
            )
            shape = alignment.transform(row["matrix"], row["shape"])
            image, alpha = transfer.perform(self._actors[person], target, shape, told)
            images.append(image)
            alphas.append(alpha)
        return batch.with_columns(image=object_column(images), alpha=object_column(alphas))
