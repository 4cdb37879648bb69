"""Generate: images of the face that will be seen."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from vidswap.faces import alignment, transfer
from vidswap.graph.batch import Batch, object_column
from vidswap.graph.operator import Operator, Options, Setting


def chosen_regions(value: Any) -> str:
    """A comma-separated list of regions as given by a user, checked; raises ValueError with the names there are."""
    names = [n.strip() for n in str(value).split(",") if n.strip()]
    if names == ["all"]:
        names = list(transfer.REGIONS)
    wrong = [n for n in names if n not in transfer.REGIONS]
    if wrong or not names:
        raise ValueError(f"regions is {value!r}; it must be 'all' or some of {', '.join(transfer.REGIONS)}")
    return ",".join(n for n in transfer.REGIONS if n in names)


class GenerateMeshOptions(Options):
    """Which parts of the face are made."""

    regions: str = Field("all", description="brows,eyes,nose,mouth,skin: those that change; or all")

    @field_validator("regions", mode="before")
    @classmethod
    def _known(cls, value: Any) -> str:
        return chosen_regions(value)


class GenerateMesh(Operator[GenerateMeshOptions]):
    """The source's texture on the mesh `shape`, in the target's light, with a cover that leaves out what occludes it.

    Eyeballs and the inside of the mouth are the target's.
    """

    kind = "generate"
    needs = ("crop", "matrix", "landmarks", "shape", "regions", "person")
    gives = ("image", "alpha")
    needs_source = ("texture", "texture_alpha")
    Options = GenerateMeshOptions

    def setup(self, setting: Setting) -> None:
        """Prepare the source's texture."""
        source = setting.sources["source"]
        regions = self.options.regions.split(",")
        self._actor = transfer.Actor(source["texture"][0], source["texture_alpha"][0], regions)

    def __call__(self, batch: Batch) -> Batch:
        """Adds image (S, S, 3) uint8 and alpha (S, S) float32 to each row."""
        images, alphas = [], []
        for row in batch.rows():
            image, alpha = transfer.perform(
                self._actor,
                row["crop"],
                alignment.transform(row["matrix"], row["shape"]),
                alignment.transform(row["matrix"], row["landmarks"]),
                row["regions"],
                row["person"],
            )
            images.append(image)
            alphas.append(alpha)
        return batch.with_columns(image=object_column(images), alpha=object_column(alphas))
