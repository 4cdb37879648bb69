"""Map for E4S: shapes by recombining label maps, texture by exchanging style vectors, both region by region."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator

from vidswap.faces import label_maps, recombination
from vidswap.faces.regions import SKIN
from vidswap.graph.batch import Batch
from vidswap.graph.errors import InputError
from vidswap.graph.operator import Operator, Options, Setting
from vidswap.latents import regions

from .generate import people_of


class _RegionOptions(Options):
    """Which regions change."""

    regions: str = Field("all", description="those that change, with commas: brows,eyes,nose,mouth,skin ... or all")

    @field_validator("regions", mode="before")
    @classmethod
    def _known(cls, value: Any) -> str:
        try:
            regions.named(str(value))
        except InputError as error:
            raise ValueError(str(error)) from None
        return str(value)


class MapE4SShapeOptions(_RegionOptions):
    """Which shapes change, and how far."""

    rule: Literal["paper", "code", "code-hair-last", "video", "drawn"] = Field(
        "paper", description="what lies over what; drawn takes the driven map whole, as somebody drew it"
    )
    strength_shape: float = Field(1.0, ge=0, le=1, description="how far borders move from the target's to the source's")


class MapE4SShape(Operator[MapE4SShapeOptions]):
    """`label_map`: the driven face's inner regions among what else the target shows, with its holes, compressed."""

    kind = "map"
    needs = ("regions", "driven_regions")
    gives = ("label_map",)
    Options = MapE4SShapeOptions

    def __call__(self, batch: Batch) -> Batch:
        """Adds label_map (bytes, `vidswap.faces.label_maps.unpacked`) to each row."""
        made = [self._mapped(*row) for row in zip(batch["regions"], batch["driven_regions"], strict=True)]
        return batch.with_columns(label_map=np.array(made))

    def _mapped(self, target: np.ndarray, driven: np.ndarray) -> bytes:
        options = self.options
        driven = label_maps.resized(driven, len(target))
        if options.rule == "drawn":
            return label_maps.packed(driven, driven != target)
        chosen = regions.named(options.regions)
        labels, hole = recombination.recombined(driven, target, rule=options.rule, regions=chosen)
        if options.strength_shape < 1:
            labels = recombination.between(target, labels, options.strength_shape)
            hole = hole & (labels == SKIN)
        return label_maps.packed(labels, hole)


class SmoothVectorsOptions(Options):
    """How style vectors are smoothed over time."""

    sigma: float = Field(1.5, ge=0, le=8, description="of the Gaussian, in frames; 0 leaves them as they are")


class SmoothVectors(Operator[SmoothVectorsOptions]):
    """Style vectors of each track, smoothed region by region over the frames that show the region."""

    kind = "smooth"
    needs = ("track", "vectors", "driven_vectors")
    gives = ("vectors", "driven_vectors")
    Options = SmoothVectorsOptions

    def __init__(self, options: SmoothVectorsOptions) -> None:
        super().__init__(options)
        self.context = regions.reach_of(options.sigma)

    def __call__(self, batch: Batch) -> Batch:
        """Replaces vectors and driven_vectors of each row."""
        if not self.options.sigma:
            return batch
        made = {name: np.empty_like(batch[name]) for name in self.gives}
        for number in np.unique(batch["track"]):
            rows = np.flatnonzero(batch["track"] == number)
            for name, values in made.items():
                smooth = regions.smoothed(batch["frame"][rows], batch[name][rows], self.options.sigma)
                values[rows] = smooth.astype(values.dtype)
        return batch.with_columns(**made)


class MapE4SOptions(_RegionOptions):
    """Whose texture, of which regions, and how far."""

    rule: Literal["paper", "code", "code-hair-last", "video"] = Field(
        "paper", description="what is done where a face lacks a region; see docs/e4s.md"
    )
    strength_texture: float = Field(1.0, ge=0, le=1, description="how far vectors go from the target's to the source's")
    skin: Literal["source", "target", "mix"] = Field(
        "source", description="whose colour the skin has, of face, nose, ears and neck"
    )
    texture: Literal["auto", "driven", "source"] = Field(
        "auto",
        description="driven: as the driven face shows it; source: the mean over the source's pictures; auto: the mean "
        "where there are several",
    )


class MapE4S(Operator[MapE4SOptions]):
    """`style_vectors`: the target's, with the source's in the regions that change.

    Without a source, as when shapes alone are edited, they are the target's.
    """

    kind = "map"
    needs = ("vectors", "driven_vectors", "label_map")
    uses = ("source",)
    gives = ("style_vectors",)
    needs_source = ("vectors",)
    Options = MapE4SOptions

    def __init__(self, options: MapE4SOptions) -> None:
        super().__init__(options)
        self._told: list[str] = []

    def setup(self, setting: Setting) -> None:
        """Take the mean vectors of each person. Raises InputError for a region named that its pictures do not show."""
        people = setting.people()
        self._means = [regions.averaged(person["vectors"].astype(np.float32)) for person in people]
        for mean in self._means:
            regions.check_source(mean, self.options.regions)
        wanted = self.options.texture
        self._steady = [wanted == "source" or (wanted == "auto" and len(person) > 1) for person in people]

    def __call__(self, batch: Batch) -> Batch:
        """Adds style_vectors (12, D) float32 to each row."""
        vectors = batch["vectors"].astype(np.float32)
        shown = regions.regions_of([label_maps.unpacked(bytes(kept))[0] for kept in batch["label_map"]])
        if not self._means:
            nobody = np.zeros(vectors.shape[1:], np.float32)
            return batch.with_columns(style_vectors=regions.completed(vectors, nobody, shown))
        becomes = people_of(batch, len(self._means))
        means = np.stack(self._means)[becomes]
        is_steady = np.array(self._steady)[becomes][:, None, None]
        driven = np.where(is_steady, means, batch["driven_vectors"].astype(np.float32))
        options = self.options
        made = regions.exchanged(
            vectors,
            driven,
            rule=options.rule,
            regions=regions.named(options.regions),
            strength=options.strength_texture,
            skin=options.skin,
        )
        self._tell_of_missing(shown)
        if options.rule == "paper":
            for person, mean in enumerate(self._means):
                rows = np.flatnonzero(becomes == person)
                made[rows] = regions.completed(made[rows], mean, shown[rows])
        return batch.with_columns(style_vectors=made)

    def _tell_of_missing(self, shown: np.ndarray) -> None:
        """Warn of regions named that a face does not show, shown (N, 12) bool: nothing changes there."""
        for name in (n.strip() for n in self.options.regions.split(",")):
            held = regions.NAMES.get(name)
            if held is not None and not shown[:, held].any(1).all():
                told = f"map: some faces of the target show no {name}; there is nothing to change there"
                if told not in self._told:
                    self._told.append(told)

    def take_warnings(self) -> list[str]:
        """What there was to tell since the last call."""
        told, self._told = self._told, []
        return told
