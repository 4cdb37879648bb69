"""What `vidswap tune` tunes: a StyleGAN around codes, or E4S around style vectors of regions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    from vidswap.graph import Pipeline
    from vidswap.inversion.losses import LossNetworks
    from vidswap.training.loop import Task
    from vidswap.training.tuning import Options


class Tuning(Protocol):
    """One kind of generator.

    column: what its stage of inversion gives; kept: the arrays of a face beside its place; prefix: of the tuned
    player's names within the base.
    """

    weights: str
    warnings: list[str]
    column: str
    kept: tuple[str, ...]
    prefix: str

    @property
    def net(self) -> nn.Module:
        """The base."""

    def of_face(self, row: Mapping[str, Any]) -> tuple[np.ndarray, ...]:
        """The arrays `kept` of a face's row. Raises InputError where they do not fit the generator."""

    def task(
        self, faces: Mapping[str, np.ndarray], networks: LossNetworks, terms: Options, seed: int, device: torch.device
    ) -> Task:
        """What a run trains on these faces."""

    def beside(self, faces: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        """What is kept with the differences."""


class CodeTuning:
    """StyleGAN2 and 3 by pivotal tuning."""

    column, prefix = "wplus", "synthesis."
    kept: tuple[str, ...] = ("wplus", "image")

    def __init__(self, weights: str) -> None:
        from vidswap.latents.generators import load_generator

        self.weights = weights
        self.loaded = load_generator(weights)
        self.warnings = list(self.loaded.warnings)

    @property
    def net(self) -> nn.Module:
        """The base."""
        return self.loaded.net

    def of_face(self, row: Mapping[str, Any]) -> tuple[np.ndarray, ...]:
        """Code and picture."""
        from vidswap.graph import InputError
        from vidswap.latents.generators import misfit
        from vidswap.operators.generate_stylegan import brought

        own = (self.loaded.num_ws, self.loaded.net.config.w_dim)
        if row["wplus"].shape != own:
            raise InputError(misfit(row["wplus"].shape, own, self.loaded.title))
        return row["wplus"], brought(row["crop"], self.loaded.resolution)

    def task(
        self, faces: Mapping[str, np.ndarray], networks: LossNetworks, terms: Options, seed: int, device: torch.device
    ) -> Task:
        """Pivots and pictures."""
        import torch

        from vidswap.latents.inversion import network_input
        from vidswap.training.tuning import TuningTask

        pivots, images = torch.from_numpy(faces["wplus"]), network_input(torch.from_numpy(faces["image"]))
        return TuningTask(self.loaded.net, pivots, images, networks, terms, seed=seed, device=device)

    def beside(self, faces: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        """The pivots."""
        import torch

        return {"pivots": torch.from_numpy(faces["wplus"])}


class RegionTuning:
    """E4S; of a swap to the driven faces, whose vectors are exchanged, else to the target's own."""

    column, prefix = "vectors", ""
    kept: tuple[str, ...] = ("vectors", "labels", "image")

    def __init__(self, weights: str) -> None:
        from vidswap.latents.region_networks import load_networks

        self.weights = weights
        self._net = load_networks(weights)
        self.warnings: list[str] = []

    @property
    def net(self) -> nn.Module:
        """The base."""
        return self._net

    def of_face(self, row: Mapping[str, Any]) -> tuple[np.ndarray, ...]:
        """Vectors, label map and picture."""
        from vidswap.faces.label_maps import resized
        from vidswap.operators.e4s import brought

        crop, labels, vectors = ("driven", "driven_regions", "driven_vectors")
        if crop not in row:
            crop, labels, vectors = ("crop", "regions", "vectors")
        side = self._net.config.generator.resolution
        return row[vectors], resized(row[labels], min(512, side)), brought(row[crop], side)

    def task(
        self, faces: Mapping[str, np.ndarray], networks: LossNetworks, terms: Options, seed: int, device: torch.device
    ) -> Task:
        """Vectors, label maps and pictures; nothing is drawn."""
        import torch

        from vidswap.latents.inversion import network_input
        from vidswap.training.region_tuning import RegionTuningTask

        del seed
        images = network_input(torch.from_numpy(faces["image"]))
        weights = {"mse": terms.mse, "lpips": terms.lpips}
        vectors, labels = torch.from_numpy(faces["vectors"]), torch.from_numpy(faces["labels"]).long()
        return RegionTuningTask(self._net, vectors, labels, images, networks, weights, device=device)

    def beside(self, faces: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        """Nothing."""
        del faces
        return {}


def tuning_of(ready: Pipeline) -> Tuning:
    """What of a pipeline is tuned. Raises InputError where no stage of it takes a tuned generator."""
    from vidswap.graph import InputError, find_operator

    for stage in ready.specification.ordered_stages():
        operator = find_operator(stage.use)
        if operator.kind != "generate":
            continue
        if "tuned" in operator.Options.model_fields:
            weights = str(operator.Options(**stage.options).weights)  # type: ignore[attr-defined]
            return RegionTuning(weights) if stage.use == "generate.e4s" else CodeTuning(weights)
    raise InputError(
        f"pipeline {ready.specification.name} has no stage that takes a tuned generator (generate.stylegan2, "
        "generate.stylegan3, generate.e4s)"
    )


def made_of(terms: Options, steps: int, lr: float, seed: int, frames: list[int]) -> dict[str, Any]:
    """What the card says of how it was made."""
    return {"steps": steps, "lr": lr, "seed": seed, **asdict(terms), "frames": frames}


def base_name(weights: str) -> str:
    """The base as the card names it: a path in full, since the card may be read elsewhere."""
    return str(Path(weights).resolve()) if Path(weights).is_file() else weights
